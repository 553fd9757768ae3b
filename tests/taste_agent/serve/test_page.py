"""The page in a real browser: what it hears, what it plays, what it shows. Speech in, speech out."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from taste_agent.dialog.brain import ReplyItem, Sound
from taste_agent.serve.access import Access
from taste_agent.serve.limits import Limits
from taste_agent.serve.mind import load_served_model
from taste_agent.serve.server import Service
from taste_speech.recognition.english_recognizer import EnglishRecognizer
from taste_speech.recognition.english_whisper import tiny_en
from tests.taste_agent.fakes import RATE, FakeBrain, settings
from tests.taste_agent.serve.browser import Page, browser, needs_chromium
from tests.taste_agent.serve.serving import carried, serving
from tests.taste_agent.speech import silence, spoken, track

pytestmark = [pytest.mark.soak, needs_chromium]

QUESTION, ANSWER = "what is the capital of italy", "the capital of italy is rome"
STORY = "once upon a time there was a little house by the sea and in it lived an old woman with three cats"
PICTURES = os.environ.get("TASTE_PICTURES")
"""A folder for screenshots, to look at."""


class SpeakingBrain(FakeBrain):
    """Says its replies aloud, and keeps what it hears."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.words_per_item = 6
        self.samples: list[np.ndarray] = []
        accept = self.scripted.accept
        self.scripted.accept = lambda samples: (self.samples.append(samples), accept(samples))[1]

    def speak(self, item: ReplyItem) -> Sound:
        if not item.words:
            return super().speak(item)
        text = " ".join(word.text for word in item.words)
        samples = np.concatenate([spoken(text), np.zeros(800, np.float32)])
        start, self._spoken_samples = self._spoken_samples, self._spoken_samples + len(samples)
        ends = [start + len(samples) * (i + 1) // len(item.words) for i in range(len(item.words))]
        return Sound(samples, tuple(replace(w, end=end) for w, end in zip(item.words, ends, strict=True)))


def recognized(samples: np.ndarray, rate: int = RATE) -> str:
    recognizer = EnglishRecognizer(tiny_en)
    recognizer.start()
    recognizer.accept(soxr.resample(samples, rate, RATE).astype(np.float32))
    return recognizer.finish().text


def said(text: str, *more: Any) -> np.ndarray:
    return track(silence(1.5), spoken(text), silence(3.0), *more)


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(Path(PICTURES) / f"{name}.png")


def test_a_question_is_heard_and_its_answer_is_heard(tmp_path: Path) -> None:
    with (
        serving(lambda: SpeakingBrain(heard=[QUESTION], replies=[ANSWER, "hello to you"])) as server,
        browser(tmp_path, said(QUESTION, silence(20.0))) as chromium,
    ):
        page = chromium.new_page()
        page.open(f"http://{server.address}/")
        picture(page, "idle")
        page.click("start")
        page.wait("document.querySelectorAll('.word').length === 6")
        page.wait("document.querySelectorAll('.word.heard').length > 1")
        picture(page, "speaking")
        page.wait("document.querySelectorAll('.word.heard').length === 6")
        page.wait("document.getElementById('state').dataset.state === 'listening'")
        assert recognized(np.concatenate(server.brains[0].samples)) == QUESTION
        assert recognized(*page.sound("played")) == ANSWER
        assert QUESTION in page.text("talk")
        assert "You waited" in page.text("latency")
        page.run("document.getElementById('text').value = 'hello'")
        page.run("document.getElementById('typing').requestSubmit()")
        page.wait("document.querySelectorAll('.word.heard').length === 9")
        page.click("language")
        assert page.run("document.documentElement.lang") == "zh-Hant"
        picture(page, "zh")
        assert not page.log, page.log


def test_the_shipped_checkpoint_is_heard_in_the_browser(tmp_path: Path) -> None:
    own = settings("replay.compute_time=measured", "sampling.seed=1")
    service = Service(load_served_model(own), own, Access("127.0.0.1"), Limits(), max_sessions=1)
    with carried(service) as server, browser(tmp_path, said(QUESTION, silence(60.0))) as chromium:
        page = chromium.new_page()
        page.open(f"http://{server.address}/")
        page.click("start")
        page.wait("document.querySelectorAll('.word.heard').length > 2", within_s=180)
        page.wait("document.getElementById('state').dataset.state === 'listening'", within_s=180)
        picture(page, "checkpoint")
        assert QUESTION in page.text("talk")
        assert "rome" in page.text("talk").lower()
        assert "rome" in recognized(*page.sound("played"))


def test_speaking_over_it_stops_the_sound_within_300_ms(tmp_path: Path) -> None:
    over = (spoken("stop that please"), silence(20.0))
    with (
        serving(
            lambda: SpeakingBrain(heard=["tell me a story", "stop that please"], replies=[STORY, "all right"])
        ) as server,
        browser(tmp_path, said("tell me a story", *over)) as chromium,
    ):
        page = chromium.new_page()
        page.open(f"http://{server.address}/")
        page.click("start")
        page.wait("document.querySelectorAll('.word.cut').length > 0")
        picture(page, "interrupted")
        page.wait("document.getElementById('talk').innerText.includes('all right')")
        page.wait("document.getElementById('state').dataset.state === 'listening'")
        heard, rate = page.sound("heard")
        played, _ = page.sound("played")
        onset_s = speech_starts(heard, rate)[-1]
        sounding = np.flatnonzero(np.abs(played) > 0.003) / rate
        gap = np.flatnonzero(np.diff(sounding) > 0.4)
        stops_s = min(sounding[index] for index in gap if sounding[index] > onset_s - 0.1)
        assert stops_s - onset_s <= 0.3, f"{1000 * (stops_s - onset_s):.0f} ms"
        brain = server.brains[0]
        assert brain.history[1][1] != STORY
        assert STORY.startswith(brain.history[1][1])


def speech_starts(sound: np.ndarray, rate: int) -> list[float]:
    """Times at which it becomes loud after two seconds of quiet."""
    size = rate // 100
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    loud = np.flatnonzero(np.sqrt(np.mean(np.square(frames), axis=1)) > 0.01)
    return [
        float(frame) / 100 for frame, gap in zip(loud, np.diff(loud, prepend=-1000), strict=True) if gap > 150
    ]


def test_a_reload_and_a_second_tab_work(tmp_path: Path) -> None:
    with (
        serving(lambda: SpeakingBrain(replies=["hello to you"]), max_sessions=1) as server,
        browser(tmp_path, silence(60.0)) as chromium,
    ):
        page = chromium.new_page()
        for _ in range(2):
            page.open(f"http://{server.address}/")
            page.click("start")
            page.wait("document.getElementById('state').dataset.state === 'listening'")
        second = chromium.new_page()
        second.open(f"http://{server.address}/")
        second.click("start")
        second.wait("document.getElementById('problem').innerText.includes('holds 1 conversation')")
        assert second.state() == "idle"
        page.click("start")  # which ends it now
        assert server.empties()
        second.click("start")
        second.wait("document.getElementById('state').dataset.state === 'listening'")
        assert page.state() == "idle"


def test_a_microphone_that_is_denied_is_told_and_one_can_type(tmp_path: Path) -> None:
    with (
        serving(lambda: SpeakingBrain(replies=["hello to you"])) as server,
        browser(tmp_path, None) as chromium,
    ):
        page = chromium.new_page()
        page.command("Browser.setPermission", permission={"name": "microphone"}, setting="denied")
        page.open(f"http://{server.address}/")
        page.click("start")
        page.wait("document.getElementById('problem').innerText.includes('denied')")
        picture(page, "denied")
        page.wait("document.getElementById('state').dataset.state === 'listening'")
        page.run("document.getElementById('text').value = 'hello'")
        page.run("document.getElementById('typing').requestSubmit()")
        page.wait("document.querySelectorAll('.word.heard').length === 3")
        assert recognized(*page.sound("played")) == "hello to you"
