import shutil

import numpy as np
import pytest
import torch

from taste_speech.streaming import Conversation
from taste_speech.training.evaluation import pace

SENTENCES = ["The boat is on the lake.", "He reads a long letter to his sister."]
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@needs_flite
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_the_pace_that_is_said_again(monkeypatch, share):
    """Recordings are said again with so much of their difference from a second."""

    def said_again(_model, _processor, _speaker, spoken):
        return np.zeros(int(16000 * (len(spoken.samples) / 16000) ** share))

    monkeypatch.setattr(pace, "retell", said_again)
    assert pace.carried(None, None, None, SENTENCES) == pytest.approx(share, abs=0.01)


def answering(monkeypatch, *answers):
    asked, left = [], list(answers)

    def answer(_model, _processor, _speaker, conversation, text):
        asked.append((conversation, text))
        words, seconds = left.pop(0)
        return words, np.zeros(int(16000 * seconds))

    monkeypatch.setattr(pace, "_answer", answer)
    return asked


def test_an_answer_that_is_said_again_is_timed(tiny_model, tiny_processor, monkeypatch):
    asked = answering(monkeypatch, ("Paris.", 1.0), ("Paris.", 1.4))
    assert pace.slower(tiny_model, tiny_processor, None, "which city?", "slower") == pytest.approx(1.4)
    (first, question), (second, request) = asked
    assert (question, request) == ("which city?", "slower")
    assert first is second
    assert isinstance(first, Conversation)


@pytest.mark.parametrize("answers", [(("Paris.", 1.0), ("Rome.", 1.4)), (("", 0.0), ("", 0.0))])
def test_another_answer_is_not_timed(tiny_model, tiny_processor, monkeypatch, answers):
    answering(monkeypatch, *answers)
    assert pace.slower(tiny_model, tiny_processor, None, "which city?", "slower") is None


@needs_flite
def test_rows_are_the_median_of_what_is_said_again(monkeypatch):
    monkeypatch.setattr(pace, "retell", lambda _model, _processor, _speaker, spoken: spoken.samples)
    times = iter([1.5, None, 1.3, 1.1])
    monkeypatch.setattr(pace, "slower", lambda *_given: next(times))
    share, again, longer = pace.rows(None, None, None, SENTENCES, ["a", "b", "c", "d"])
    assert (share.value, share.count) == (pytest.approx(100), 2)
    assert (again.value, again.count) == (75, 4)
    assert (longer.value, longer.count) == (1.3, 3)


def test_answers_are_heard_to_their_end(tiny_model, tiny_processor):
    speaker = tiny_processor.voices()["ada"]
    conversation = Conversation(tiny_model, tiny_processor)
    torch.manual_seed(0)
    words, samples = pace._answer(tiny_model, tiny_processor, speaker, conversation, "hello there")
    assert bool(words) == bool(len(samples))
    assert conversation.segments[0].role == "user"
