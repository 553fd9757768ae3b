import copy

import pytest
import torch

from taste_speech.audio_tower.encoder import encode_features
from taste_speech.errors import AudioError, TextError
from taste_speech.features import LogMelFeatures


def features(frames, batch=1, seed=1):
    return torch.randn(batch, frames, 8, generator=torch.Generator().manual_seed(seed))


IDS = torch.tensor([[3, 7, 7, 9, 1, 4]])
WORDS = torch.tensor([[0, 0, 1, 2, 2, 2]])


def run(tower, mel, ids=IDS, words=WORDS, lengths=None, n_frames=None):
    lengths = torch.tensor([ids.shape[1]]) if lengths is None else lengths
    with torch.no_grad():
        return tower(mel, ids, lengths, words, n_frames)


def test_golden_tower(golden, golden_model):
    tower = golden_model.audio_tower
    audio = golden["audio_int16"].float() / 32768
    mel = LogMelFeatures(tower.config)(audio)
    torch.testing.assert_close(mel[:, :400], golden["audio_features_head"], rtol=1e-3, atol=1e-3)
    frames = LogMelFeatures(tower.config).frame_count(audio.shape[0])
    assert frames == golden["audio_feature_lengths"].item()
    out = run(tower, mel, golden["asr_token_ids"], golden["asr_word_ids"])
    torch.testing.assert_close(out.segmented, golden["tower.segmented_feats"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(out.quantized, golden["tower.audio_unit_embeds"], rtol=1e-3, atol=1e-3)
    assert torch.equal(out.indices, golden["tower.quantized_indices"])


def test_short_features_are_padded_with_zeros_where_the_checkpoint_pads(padded_tower):
    mel = features(30)
    whole = torch.nn.functional.pad(mel, (0, 0, 0, 50))
    assert torch.equal(run(padded_tower, mel).segmented, run(padded_tower, whole).segmented)


def test_utterances_of_their_own_length_attend_to_nothing_else(free_tower):
    mel = features(31)
    whole = torch.nn.functional.pad(mel, (0, 0, 0, 49))
    assert not torch.allclose(run(free_tower, mel).segmented, run(free_tower, whole).segmented)
    masked = run(free_tower, whole, n_frames=torch.tensor([31]))
    torch.testing.assert_close(masked.segmented, run(free_tower, mel).segmented)


@pytest.mark.parametrize("frames", [(31, 44), (44, 2), (1, 31)])
def test_a_batch_equals_its_items(free_tower, frames):
    mels = [features(count, seed=count) for count in frames]
    batch = torch.nn.utils.rnn.pad_sequence([mel[0] for mel in mels], batch_first=True)
    ids = torch.tensor([[3, 7, 9, 0, 0], [5, 5, 1, 2, 3]])
    words = torch.tensor([[0, 1, 1, -1, -1], [0, 1, 1, 2, 3]])
    out = run(free_tower, batch, ids, words, torch.tensor([3, 5]), torch.tensor(frames))
    for item, count in ((0, 3), (1, 5)):
        alone = run(free_tower, mels[item], ids[item : item + 1, :count], words[item : item + 1, :count])
        torch.testing.assert_close(out.segmented[item, :count], alone.segmented[0], rtol=1e-4, atol=1e-5)
        assert torch.equal(out.indices[item, :count], alone.indices[0])
    assert (out.indices[0, 3:] == -1).all()


def test_tokens_of_a_word_share_their_taste_token(free_tower):
    indices = run(free_tower, features(44)).indices[0]
    assert torch.equal(indices[0], indices[1])
    assert torch.equal(indices[3], indices[5])
    assert len({tuple(row) for row in indices.tolist()}) > 1


def test_later_text_does_not_change_earlier_words(free_tower):
    changed = IDS.clone()
    changed[0, 3:] = 11
    mel = features(44)
    one, other = run(free_tower, mel).segmented, run(free_tower, mel, changed).segmented
    assert torch.equal(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3:], other[:, 3:])


def test_ids_of_padding_do_not_matter(free_tower):
    mel, lengths = features(44), torch.tensor([4])
    other = IDS.clone()
    other[0, 4:] = -1
    assert torch.equal(
        run(free_tower, mel, lengths=lengths).indices, run(free_tower, mel, other, lengths=lengths).indices
    )


def test_values_come_from_the_target_layer(free_tower):
    shallow = copy.deepcopy(free_tower)
    with torch.no_grad():
        shallow.encoder.layers[0].fc2.bias.add_(1.0)  # changes what enters layer 1: values and keys
        encoded, same = free_tower.encode(features(44)), shallow.encode(features(44))
        assert not torch.allclose(encoded.values, same.values)
        deep = copy.deepcopy(free_tower)
        deep.encoder.layers[1].fc2.bias.add_(torch.randn(16))  # changes what leaves it: keys only
        same = deep.encode(features(44))
    assert torch.equal(encoded.values, same.values)
    assert not torch.allclose(encoded.keys, same.keys)


def test_an_utterance_is_encoded_in_its_window_and_the_silence_behind_it_cut_off(free_tower):
    tower = copy.deepcopy(free_tower)
    tower.config = tower.config.model_copy(update={"source_windows": [12, 30]})
    mel = features(60, batch=2)
    encoded = tower.encode(mel, torch.tensor([21, 40]))
    for item, (frames, window) in enumerate(((21, 24), (40, 60))):
        alone = encode_features(tower.encoder, mel[item : item + 1, :window], 1)
        own = (frames + 1) // 2
        torch.testing.assert_close(encoded.keys[item, :own], alone.keys[0, :own])
        torch.testing.assert_close(encoded.values[item, :own], alone.values[0, :own])
    assert encoded.mask.sum(1).tolist() == [11, 20]


def test_features_shorter_than_their_window_are_refused(free_tower):
    tower = copy.deepcopy(free_tower)
    tower.config = tower.config.model_copy(update={"source_windows": [12, 30]})
    with pytest.raises(AudioError, match="has 22 mel frames and its window 24"):
        tower.encode(features(22))


def test_gradients_reach_every_parameter_that_trains(free_tower):
    tower = copy.deepcopy(free_tower).train()
    out = tower(features(44), IDS, torch.tensor([6]), WORDS)
    out.quantized.square().sum().backward()
    without = {name for name, p in tower.named_parameters() if p.requires_grad and p.grad is None}
    # The last hidden state only serves as keys, so every layer takes part; codebooks train by their own loss.
    assert without == {"quantizer.codebooks"}
    assert tower.encoder.layers[2].fc1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 81, 8), "81 mel frames, but this checkpoint takes at most 80; split it"),
        ((1, 10, 9), r"shape \(1, 80, 9\); expected \(batch, mel frames, 8\)"),
    ],
)
def test_refuses_features_that_do_not_fit(padded_tower, shape, message):
    with pytest.raises(AudioError, match=message):
        padded_tower.encode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 82, 8), "41 encoder frames, but this checkpoint has 40 positions; split it"),
        ((1, 0, 8), r"shape \(1, 0, 8\); expected .* with at least one frame"),
        ((10, 8), r"shape \(10, 8\); expected"),
    ],
)
def test_refuses_unpadded_features_that_do_not_fit(free_tower, shape, message):
    with pytest.raises(AudioError, match=message):
        free_tower.encode(torch.zeros(shape))


@pytest.mark.parametrize("count", [0, 16])
def test_refuses_text_that_does_not_fit(free_tower, count):
    ids = torch.zeros(1, count, dtype=torch.long)
    with pytest.raises(TextError, match=f"the text has {count} ASR tokens; expected 1 to 15; split it"):
        run(free_tower, features(10), ids, ids)


def test_longest_text(free_tower):
    ids = torch.zeros(1, free_tower.max_asr_tokens, dtype=torch.long)
    assert run(free_tower, features(10), ids, ids).indices.shape == (1, 15, 3)


def test_half_precision_weights(free_tower):
    tower = copy.deepcopy(free_tower)
    for part in (tower.encoder, tower.aggregator):
        part.to(torch.bfloat16)
    out = run(tower, features(44))
    assert out.quantized.dtype == torch.float32
    torch.testing.assert_close(
        out.segmented.float(), run(free_tower, features(44)).segmented, rtol=0.1, atol=0.1
    )
