"""PocketSphinx in a process of its own.

While PocketSphinx decodes, for up to a sixth of a second, no other thread of its process runs, not even the
one that feeds the loudspeaker. What is said over the agent would make the agent stutter.
"""

import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from taste_speech.errors import TasteError
from taste_speech.recognition.base import Recognition
from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer, check_samples

END_S = 2.0
_PROGRAM = "from taste_speech.recognition.own_process import serve; serve()"


class PocketSphinxProcess:
    """A `Recognizer` like `PocketSphinxRecognizer`, whose calls wait only where they return something.

    The process begins to load at once and ends with this object, or with the process that made it. If it
    dies, the call that finds out and those after it raise `TasteError`; the next utterance gets a new one.
    """

    def __init__(
        self, language_model: str | Path | None = None, dictionary: str | Path | None = None
    ) -> None:
        """Arguments as of `PocketSphinxRecognizer`."""
        self._models = (language_model, dictionary)
        self.heard_voice = False
        """Whether anything in the last utterance was periodic as voices are; known after `finish`."""
        self._process = self._launch()

    def start(self) -> None:
        """Begin an utterance; whatever was accepted before is forgotten.

        Errors: `TasteError` if the models cannot be loaded.
        """
        if self._process.poll() is not None:
            self._process = self._launch()
        self._ask("start")

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Take more audio: 1-D float32, 16 kHz mono, in [-1, 1].

        Errors: `AudioError` for another shape or NaN.
        """
        check_samples(samples)
        self._send("accept", samples)

    def partial(self) -> str:
        """The text so far, which later audio may change; empty while only noise was heard."""
        return str(self._ask("partial"))

    def finish(self, first: int = 0, end: int | None = None) -> Recognition:
        """As `PocketSphinxRecognizer.finish`."""
        return cast(Recognition, self._ask("finish", first, end))

    def _launch(self) -> "subprocess.Popen[bytes]":
        # In a session of its own: Ctrl-C in the terminal is for the program that the person sees.
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        weakref.finalize(self, _end, process)
        _write(cast(BinaryIO, process.stdin), self._models)
        return process

    def _ask(self, name: str, *arguments: Any) -> Any:
        self._send(name, *arguments)
        try:
            self.heard_voice, value, error = pickle.load(cast(BinaryIO, self._process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError) as reason:
            raise self._died() from reason
        if error is not None:
            raise error
        return value

    def _send(self, name: str, *arguments: Any) -> None:
        if self._process.returncode is not None:  # an earlier call has found out
            raise self._died()
        try:
            _write(cast(BinaryIO, self._process.stdin), (name, arguments))
        except OSError as reason:
            raise self._died() from reason

    def _died(self) -> TasteError:
        _end(self._process)
        return TasteError(
            f"the process that recognises speech ended with code {self._process.returncode}; "
            "please say that again, another one is started"
        )


def serve() -> None:
    """What the process does: one call after the other, until nobody is there to make them."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library may print must not come between the answers
    language_model, dictionary = pickle.load(calls)
    recognizer = PocketSphinxRecognizer(language_model, dictionary)
    _, error = _outcome(recognizer.start)  # loads the models
    unusable = error is not None
    while True:
        try:
            name, arguments = pickle.load(calls)
        except EOFError:
            return
        value = None
        if error is None:
            value, error = _outcome(getattr(recognizer, name), *arguments)
        if name != "accept":  # what went wrong there is told by the next call
            _write(answers, (recognizer.heard_voice, value, error))
            error = error if unusable else None


def _outcome(call: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    try:
        return call(*arguments), None
    except Exception as error:  # it is raised in the other process
        return None, error


def _write(file: BinaryIO, item: Any) -> None:
    pickle.dump(item, file, protocol=pickle.HIGHEST_PROTOCOL)
    file.flush()


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # there was something left to write, and nobody to read it
                pipe.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
