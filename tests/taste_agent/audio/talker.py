"""`chat` with a brain that understands what the test says it does and speaks with a natural voice.

Run as a program: `python -m tests.taste_agent.audio.talker SCRIPT [--json] [--text] [key=value ...]`, where
SCRIPT is a JSON file with the lists `heard` (null: loudness is heard) and `replies`, and optionally
`slow_s` and `load_s`.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from taste_agent import cli
from taste_agent.dialog.brain import ReplyItem, Sound
from taste_speech.recognition.base import Recognition, RecognizedWord
from tests.taste_agent.fakes import FakeBrain
from tests.taste_agent.speech import spoken

WORDS_PER_ITEM = 8


class LoudnessRecognizer:
    """Understands how loud each fifth of a second is: words that cost nothing but depend on what it got."""

    def start(self) -> None:
        self._samples = np.zeros(0, np.float32)

    def accept(self, samples: np.ndarray) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def partial(self) -> str:
        blocks = self._samples[: self._samples.size // 3200 * 3200].reshape(-1, 3200)
        levels = 20 * np.log10(np.sqrt(np.mean(np.square(blocks), axis=1)) + 1e-5)
        return " ".join(f"level{round(-level / 6)}" for level in levels)

    def finish(self) -> Recognition:
        words = self.partial().split()
        return Recognition(" ".join(words), tuple(RecognizedWord(word) for word in words))


class Talker(FakeBrain):
    """A `FakeBrain` with a voice; each item takes `slow_s` to make."""

    slow_s = 0.0
    listens_to_script = True

    def recognizer(self) -> Any:
        return self.scripted if self.listens_to_script else LoudnessRecognizer()

    def speak(self, item: ReplyItem) -> Sound:
        time.sleep(self.slow_s)
        samples = spoken(" ".join(w.text for w in item.words)) if item.words else np.zeros(0, np.float32)
        start, count = self._spoken_samples, len(item.words)
        self._spoken_samples += samples.size
        words = (replace(w, end=start + samples.size * (i + 1) // count) for i, w in enumerate(item.words))
        return Sound(samples, tuple(words))


def load(path: Path) -> Talker:
    """The brain of a script."""
    script = json.loads(path.read_text())
    brain = Talker(heard=script["heard"] or [], replies=script["replies"], words_per_item=WORDS_PER_ITEM)
    brain.listens_to_script = script["heard"] is not None
    brain.slow_s = script.get("slow_s", 0.0)
    time.sleep(script.get("load_s", 0.0))
    return brain


def rehearse(replies: list[str]) -> None:
    """Say all of them once: that takes a while only the first time, and cannot be interrupted cleanly."""
    for text in replies:
        words = text.split()
        for i in range(0, len(words), WORDS_PER_ITEM):
            spoken(" ".join(words[i : i + WORDS_PER_ITEM]))


def main() -> None:
    """The real command line, with this brain in the place of a checkpoint."""
    import taste_agent.chat as chat

    script = Path(sys.argv.pop(1))
    rehearse(json.loads(script.read_text())["replies"])
    real = chat.run_chat

    def run_chat(settings: Any, options: Any, *loading: Any) -> None:
        real(settings, options, lambda settings: load(script))

    chat.run_chat = run_chat
    cli.main()


if __name__ == "__main__":
    main()
