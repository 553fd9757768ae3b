"""Sound in the protocol's formats."""

import numpy as np
import pytest

from taste_agent.serve.audio_format import AudioDecoder, AudioEncoder, a_law, bytes_of_base64, codec, mu_law
from taste_agent.serve.errors import ProtocolError


def tone(seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)).astype(np.float32)


@pytest.mark.parametrize("name", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_sound_comes_back_as_it_went(name: str) -> None:
    encoder, decoder = AudioEncoder(name), AudioDecoder(name)
    coded = encoder.feed(tone()) + encoder.finish()
    back = np.concatenate([decoder.feed(coded), decoder.finish()])
    assert len(back) == pytest.approx(16000, abs=4)
    middle = slice(2000, 14000)
    error = np.sqrt(np.mean(np.square(back[middle] - tone()[middle])))
    assert error < (0.001 if name == "audio/pcm" else 0.01)


def test_a_sample_may_be_split_between_two_messages() -> None:
    sound = codec("audio/pcm").encode(tone())
    whole, pieces = AudioDecoder("audio/pcm"), AudioDecoder("audio/pcm")
    expected = np.concatenate([whole.feed(sound), whole.finish()])
    parts = [pieces.feed(sound[i : i + 7]) for i in range(0, len(sound), 7)]
    np.testing.assert_allclose(np.concatenate([*parts, pieces.finish()]), expected, atol=1e-4)


def test_what_is_beyond_full_scale_is_clipped() -> None:
    loud = np.array([2.0, -2.0], np.float32)
    for name in ("audio/pcm", "audio/pcmu", "audio/pcma"):
        decoded = codec(name).decode(codec(name).encode(loud))
        assert decoded[0] > 0.95
        assert decoded[1] < -0.95


# Of the tables in ITU-T G.711: the code of the largest positive value, of the largest negative one, and zero.
@pytest.mark.parametrize(
    ("law", "codes", "values"),
    [(mu_law(), [0x80, 0x00, 0xFF], [32124, -32124, 0]), (a_law(), [0xAA, 0x2A, 0xD5], [32256, -32256, 8])],
)
def test_codes_are_those_of_the_standard(law, codes: list[int], values: list[int]) -> None:
    np.testing.assert_array_equal(law.decode(bytes(codes)) * 32768, values)
    assert list(law.encode(np.array(values, np.float32) / 32768)) == codes


def test_every_code_comes_back() -> None:
    for law in (mu_law(), a_law()):
        codes = bytes(range(256))
        again = law.decode(law.encode(law.decode(codes)))
        np.testing.assert_array_equal(again, law.decode(codes))


def test_what_is_no_base64_is_told() -> None:
    with pytest.raises(ProtocolError, match="audio is not base64"):
        bytes_of_base64("a b", "audio")
