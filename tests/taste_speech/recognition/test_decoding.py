import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from taste_speech.recognition.decoding import DecoderRows, loop_start, token_frames

IDS = [3, 1, 4, 1, 5, 9]


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=12,
        d_model=16,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=24,
        max_target_positions=10,
        pad_token_id=0,
    )
    config._attn_implementation = "eager"
    decoder = WhisperDecoder(config).eval().requires_grad_(False)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder


@pytest.fixture(scope="module")
def rows(decoder):
    return DecoderRows(decoder, [(0, 1), (1, 0), (1, 3)], 11)


@pytest.fixture(scope="module")
def frames():
    return torch.randn(7, 16, generator=torch.Generator().manual_seed(2))


def test_is_the_decoder_of_transformers(decoder, rows, frames):
    output = decoder(torch.tensor([IDS]), encoder_hidden_states=frames[None], output_attentions=True)
    found = rows(rows.begin(frames), IDS)
    logits = output.last_hidden_state[0] @ decoder.embed_tokens.weight.T
    torch.testing.assert_close(found.logits, logits[:, :11], atol=1e-4, rtol=1e-4)
    heads = [output.cross_attentions[layer][0, head] for layer, head in ((0, 1), (1, 0), (1, 3))]
    torch.testing.assert_close(found.attention, torch.stack(heads), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parts", [[1] * 6, [2, 1, 3], [4, 2]])
def test_tokens_may_come_in_parts(rows, frames, parts):
    whole = rows(rows.begin(frames), IDS)
    state = rows.begin(frames)
    found = []
    for part in parts:
        found.append(rows(state, IDS[state.length : state.length + part]))
    torch.testing.assert_close(torch.cat([part.logits for part in found]), whole.logits)
    torch.testing.assert_close(torch.cat([part.attention for part in found], 1), whole.attention)


def test_tokens_may_be_taken_back(rows, frames):
    state = rows.begin(frames)
    rows(state, [3, 1, 7, 7])
    state.length = 2
    torch.testing.assert_close(rows(state, IDS[2:]).logits, rows(rows.begin(frames), IDS).logits[2:])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("i like you . i like you .", "i like you ."),
        ("well i think so i think so i think so", "well i think so"),
        ("oh oh oh oh", "oh"),
        ("and then , yes , yes , yes ,", "and then , yes ,"),
    ],
)
def test_what_is_written_again_is_not_kept(text, kept):
    assert loop_start(text.split()) == len(kept.split())


@pytest.mark.parametrize(
    "text",
    ["", "no", "no no no", "knock knock", "bye bye love", "i do i do", "very very good very very good so"],
)
def test_what_people_say_twice_stays(text):
    assert loop_start(text.split()) is None


def test_tokens_end_where_the_next_one_is_looked_at():
    torch.manual_seed(0)
    attention = 0.01 * torch.rand(3, 4, 100)
    for token, (start, end) in enumerate(((0, 20), (20, 33), (33, 70), (70, 100))):
        attention[:, token, start:end] += 1.0
    ends = token_frames(attention)
    assert len(ends) == 3
    assert all(abs(end - expected) <= 1 for end, expected in zip(ends, (20, 33, 70), strict=True))


def test_a_frame_at_which_all_tokens_look_says_nothing():
    torch.manual_seed(0)
    attention = 0.01 * torch.rand(2, 3, 60)
    attention[:, :, 50:] += 5.0
    attention[:, 0, :15] += 1.0
    attention[:, 1, 15:40] += 1.0
    first, second = token_frames(attention)
    assert abs(first - 15) <= 1
    assert 38 <= second <= 60


def test_ends_are_in_order_whatever_the_attention():
    attention = torch.rand(4, 6, 40, generator=torch.Generator().manual_seed(1))
    ends = token_frames(attention)
    assert ends == sorted(ends)
    assert len(ends) == 5
