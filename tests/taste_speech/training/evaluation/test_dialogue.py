import shutil

import numpy as np
import pytest

from taste_speech.training.corpus.dialogues.turns import Turn
from taste_speech.training.evaluation import dialogue
from taste_speech.training.evaluation.dialogue import Reply
from taste_speech.training.evaluation.judge import Judge

HUM = 0.1 * np.sin(np.arange(24000) / 9).astype(np.float32)


def reply(heard: str, text: str, samples: np.ndarray) -> Reply:
    turn = Turn("user", "speech", "what is six times two?", kind="times", accepted_pattern=r"\btwelve\b")
    return Reply(turn, heard, bool(text), text, samples, 0.3, 0.1, 1.0)


@pytest.mark.skipif(not shutil.which("flite"), reason="no flite")
def test_a_reply_that_is_no_speech_is_told_from_the_natural_voice_of_its_text():
    spoken = reply("what is six times two", "It is twelve.", HUM)
    silent = reply("what is", "", np.zeros(0, np.float32))
    rows = {row.name: row for row in dialogue.rows(Judge(), [spoken, silent], [silent])}
    assert rows["heard and answered right"].value == 50
    assert rows["complete turns answered"].value == 50
    assert rows["cut-off turns given no_speech"].value == 100
    assert rows["recogniser on the questions: word error"].value == pytest.approx(100 * 6 / 15)
    assert rows["reply as sound against its text: word error"].value >= 100
    natural = rows["the same replies in the natural voice: word error"]
    assert (natural.value, natural.count) == (0, 1)
    assert rows["whole reply: real-time factor"].value == pytest.approx(1.0 / 1.5)
