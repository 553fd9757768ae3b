from dataclasses import replace

import pytest
import torch

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.autoencoder.model import Condition, TasteAutoencoder
from taste_speech.training.autoencoder.taste_tokens import EncodedStore
from taste_speech.training.autoencoder.utterances import PROSODY_SIZE, AlignedUtterance
from taste_speech.training.autoencoder.windows import Span, WindowBatches

WIDTH = 16
CONFIG = TasteConfig(
    tower={
        "d_model": WIDTH,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 16,
        "num_mel_bins": 8,
        "vocab_size": 30,
        "prefix_ids": [26, 27, 28, 29],
        "eos_id": 25,
        "pad_to_max_source": False,
    },
    audio_tower_config={
        "kwargs_for_quantizer": {"dim": WIDTH, "codebook_dim": 8, "codebook_size": 4, "num_quantizers": 2}
    },
    speech_decoder_config={
        "audio_encoder_input_size": WIDTH,
        "encoder_input_size": 16,
        "encoder__attention_heads": 2,
        "encoder__linear_units": 16,
        "encoder__num_blocks": 1,
        "encoder__dropout_rate": 0.0,
        "encoder__positional_dropout_rate": 0.0,
        "llm_input_size": 16,
        "llm_output_size": 16,
        "llm__attention_heads": 2,
        "llm__linear_units": 16,
        "llm__num_blocks": 2,
        "llm__dropout_rate": 0.0,
        "llm__positional_dropout_rate": 0.0,
        "text_token_size": 30,
        "speech_token_size": 20,
        "spk_embed_dim": 4,
    },
    unit_decoding={"audio_encoder_blocks": 1, "audio_encoder_heads": 2, "audio_encoder_linear_units": 16},
)
LONG = AlignedUtterance(
    "long",
    "train",
    [1, 2, 3, 4],
    [0, 0, 1, 2],
    torch.arange(9),
    [4, 6, 9],
    torch.zeros(3, PROSODY_SIZE),
    torch.tensor([0, 1, 2, 3, 4, 4, 5, 5, 0]),
    torch.tensor([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0]),
)
SHORT = AlignedUtterance(
    "short",
    "train",
    [5, 6],
    [0, 1],
    torch.arange(10, 14),
    [2, 4],
    torch.ones(2, PROSODY_SIZE),
    torch.tensor([6, 6, 7, 7]),
    torch.tensor([0.0, 0.0, 1.0, 1.0]),
)


class Heard(EncodedStore):
    """As many random states as there are units, of the utterances named."""

    def __init__(self, *keys):
        generator = torch.Generator().manual_seed(0)
        self.known = {
            item.key: torch.randn(2, len(item.units), WIDTH, generator=generator)
            for item in (LONG, SHORT)
            if item.key in keys
        }

    def __contains__(self, key):
        return key in self.known

    def states(self, key):
        return tuple(self.known.get(key, torch.zeros(2, 1, WIDTH)))


@pytest.fixture
def batches():
    return WindowBatches([LONG, SHORT], Heard("long", "short"), 100, 0.0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TasteAutoencoder(CONFIG, aligned_heads=[(1, 0)]).eval()


def test_windows_hold_the_tokens_and_units_of_their_words(batches):
    windows = batches.collate([LONG, SHORT], [Span(1, 3, 1), Span(0, 1, 0)])
    assert windows.cut(windows.token_ids).tolist()[0] == [3, 4]
    assert windows.n_tokens.tolist() == [2, 1]
    assert windows.unit_ids[0].tolist() == [4, 5, 6, 7, 8]
    assert windows.unit_words[0].tolist() == [1, 1, 2, 2, 2]
    assert windows.unit_ids[1, : windows.n_units[1]].tolist() == [10, 11]


def test_random_windows_are_never_empty(batches):
    stream = batches.endless(torch.Generator().manual_seed(0))
    assert all(int(next(stream).n_tokens.min()) > 0 for _ in range(50))


def test_windows_have_no_more_words_than_asked_for():
    batches = WindowBatches([LONG, SHORT], Heard(), 100, 0.0, most_words=2)
    spans = {batches._draw(LONG, False, torch.Generator().manual_seed(seed)) for seed in range(50)}
    assert {span.last - span.first for span in spans} == {1, 2}
    assert all(span.learned == span.first for span in spans)


def test_first_words_at_another_pace_are_given_and_the_rest_is_learned(batches, model):
    windows = batches.collate([LONG, SHORT], [Span(0, 3, 2, stretch=1.5), Span(0, 2, 1, stretch=0.5)])
    assert windows.unit_ids[0].tolist() == [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 7, 8]
    assert windows.unit_words[0].tolist() == [0] * 6 + [1] * 3 + [2] * 3
    assert windows.unit_phones[0].tolist() == [0, 0, 1, 2, 2, 3, 4, 4, 4, 5, 5, 0]
    assert windows.unit_ids[1, : windows.n_units[1]].tolist() == [10, 12, 13]
    assert windows.n_given.tolist() == [9, 1]
    silence = torch.zeros(2, 4, WIDTH)
    prediction, _ = model.predict(windows, silence, windows.unit_ids, torch.zeros(1, 4))
    assert prediction.targets[0].tolist() == [-1] * 9 + [6, 7, 8, 20]
    assert prediction.targets[1, :4].tolist() == [-1, 12, 13, 20]


def test_as_many_windows_as_asked_for_begin_at_another_pace():
    batches = WindowBatches([LONG], Heard(), 100, 0.0, strange_pace_part=0.25)
    spans = [batches._draw(LONG, True, torch.Generator().manual_seed(seed)) for seed in range(400)]
    strange = [span for span in spans if span.stretch != 1]
    assert 0.2 < len(strange) / len(spans) < 0.3
    assert all(0.57 < span.stretch < 1.75 for span in strange)
    assert {span.learned for span in strange} == {0, 1, 2}
    assert all((span.first, span.last) == (0, 3) for span in spans)


def test_prediction_equals_the_unit_decoders_own(batches, model):
    windows = batches.collate([LONG, SHORT], [Span(0, 2, 0), Span(0, 2, 0)])
    audio = torch.randn(2, 3, WIDTH)
    speaker = torch.randn(1, 4)
    prediction, losses = model.predict(windows, audio, windows.unit_ids, speaker)
    own = model.decoder(
        speaker.expand(2, -1),
        windows.cut(windows.token_ids),
        audio,
        windows.unit_ids,
        windows.n_tokens,
        windows.n_units,
    )
    torch.testing.assert_close(prediction.targets, own.targets)
    counted = own.targets >= 0
    torch.testing.assert_close(prediction.logits[counted], own.logits[counted], atol=1e-5, rtol=1e-4)
    assert float(losses["alignment"].detach()) > 0


def test_several_heads_of_one_block_learn_to_look(batches):
    windows = batches.collate([LONG, SHORT], [Span(0, 2, 0), Span(0, 2, 0)])

    def alignment(heads):
        torch.manual_seed(0)
        model = TasteAutoencoder(CONFIG, heads).eval()
        _, losses = model.predict(windows, torch.zeros(2, 3, WIDTH), windows.unit_ids, torch.zeros(1, 4))
        return float(losses["alignment"].detach())

    first, second, both = alignment([(1, 0)]), alignment([(1, 1)]), alignment([(1, 0), (1, 1)])
    assert first != second
    assert both == pytest.approx((first + second) / 2)


def test_withheld_audio_equals_text_only(batches, model):
    windows = batches.collate([LONG, SHORT], [Span(0, 3, 0), Span(0, 2, 0)])
    text, _ = model.condition(windows, Condition.TEXT, None)
    withheld, _ = model.condition(windows, Condition.CONTINUOUS, torch.tensor([True, True]))
    assert torch.equal(text, withheld)


def test_the_exported_quantizer_gives_what_the_trained_one_gave(batches, model):
    windows = batches.collate([LONG, SHORT] * 4, [Span(0, 3, 0), Span(0, 2, 0)] * 4)
    model.train()
    model.has_quantizer.fill_(True)
    for _ in range(3):
        model.condition(windows, Condition.QUANTIZED, None)
    model.eval().export_quantizer()
    vectors = model.words(windows)
    trained, _ = model.quantize(vectors, windows.word_ids)
    exported, _ = model.tower.quantizer.quantize(vectors)
    spoken = windows.word_ids >= 0
    torch.testing.assert_close(trained[spoken], exported[spoken], atol=1e-5, rtol=1e-4)


def test_a_quantizer_that_came_with_the_tower_is_kept(batches, model):
    before = {name: value.clone() for name, value in model.tower.quantizer.state_dict().items()}
    model.finish_tower()
    after = model.tower.quantizer.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_what_is_not_encoded_is_known_by_its_text_only(model):
    batches = WindowBatches([LONG, SHORT], Heard("long"), 100, 0.0)
    windows = batches.collate([LONG, SHORT], [Span(0, 3, 0), Span(0, 2, 0)])
    assert windows.is_heard.tolist() == [True, False]
    assert windows.heard_words.tolist() == [[0, 0, 1, 2], [-1] * 4]
    audio, losses = model.condition(windows, Condition.CONTINUOUS, None)
    assert bool(audio[0].any())
    assert not bool(audio[1].any())
    alone, own = model.condition(batches.collate([LONG], [Span(0, 3, 0)]), Condition.CONTINUOUS, None)
    torch.testing.assert_close(audio[:1], alone)
    for name, loss in own.items():
        torch.testing.assert_close(losses[name], loss)


def test_an_aggregator_that_looks_at_each_word_where_it_is_said_has_no_loss(batches, model):
    windows = batches.collate([LONG], [Span(0, 3, 0)])
    assert windows.frame_words.tolist() == [[0] * 4 + [1] * 2 + [2] * 3]
    states = torch.eye(WIDTH)[windows.frame_words]  # (1, frames, width): the word's number
    seen = replace(windows, encoded=EncodedAudio(states, states))
    attention = model.tower.aggregator.layers[0].encoder_attn
    _, before = model.listen(seen)
    with torch.no_grad():
        attention.q_proj.weight.zero_()
        attention.k_proj.weight.copy_(torch.eye(WIDTH))
        attention.q_proj.bias.copy_(100 * torch.eye(WIDTH)[0])
    _, at_the_first = model.listen(seen)
    # Of four tokens those of the first word look at it; the others' looks miss theirs, at 1e-4.
    expected = -2 / 4 * torch.tensor(1e-4).log()
    torch.testing.assert_close(at_the_first, expected, atol=1e-2, rtol=1e-2)
    assert float(before.detach()) != pytest.approx(float(at_the_first.detach()))


def test_final_taste_tokens_are_read_from_the_windows(model):
    spoken = replace(LONG, taste_ids=torch.tensor([[0, 1], [2, 3], [3, 0]]))
    batches = WindowBatches([spoken], Heard("long"), 100, 0.0)
    windows = batches.collate([spoken], [Span(1, 3, 1)])
    audio, losses = model.condition(windows, Condition.QUANTIZED, None)
    expected = model.tower.quantizer.output_from_indices(torch.tensor([[[2, 3], [3, 0]]]))
    torch.testing.assert_close(audio, expected)
    assert losses == {}


def test_the_mean_pace_of_a_window_is_to_be_heard(batches, model):
    slow = replace(LONG, prosody=torch.tensor([[1.0], [2.0], [3.0]]) * torch.eye(PROSODY_SIZE)[0])
    windows = batches.collate([slow, SHORT], [Span(0, 3, 0), Span(0, 2, 0)])
    with torch.no_grad():
        model.heard_prosody.weight.zero_()
        model.heard_prosody.bias.fill_(0.5)
    audio = torch.ones(2, 4, WIDTH)
    audio[0, 3] = 0.0  # the last word of the first is not told
    audio[1, 2:] = 0.0
    _, losses = model.predict(windows, audio, windows.unit_ids, torch.zeros(1, 4))
    # The words of the first take two, one and one tokens; all of the second have the pace 1.
    expected = ((1 + 1 + 2) / 3 - 0.5) ** 2, (1 - 0.5) ** 2
    assert float(losses["heard_pace"].detach()) == pytest.approx(sum(expected) / 2)


def test_the_prosody_of_a_word_is_to_be_told_while_it_is_said(batches, model):
    slow = replace(LONG, prosody=torch.tensor([[1.0], [2.0], [3.0]]).expand(3, PROSODY_SIZE))
    windows = batches.collate([slow, SHORT], [Span(0, 3, 1, stretch=0.5), Span(0, 2, 0)])
    with torch.no_grad():
        model.said_prosody.weight.zero_()
        model.said_prosody.bias.fill_(0.5)
    audio = torch.ones(2, 4, WIDTH)
    audio[1] = 0.0  # nothing of the second is told
    _, losses = model.predict(windows, audio, windows.unit_ids, torch.zeros(1, 4))
    # Two units of the second word and three of the third are learned; those of the first are given.
    expected = (2 * (2 - 0.5) ** 2 + 3 * (3 - 0.5) ** 2) / 5
    assert float(losses["said_prosody"].detach()) == pytest.approx(expected)
