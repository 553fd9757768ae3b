"""Two utterances: whatever the gap between them, each is answered once, by its own answer, in a silence."""

from dataclasses import dataclass

import pytest

from taste_agent import events as ev
from tests.taste_agent.fakes import FakeBrain, run_session
from tests.taste_agent.speech import RATE, silence, spoken, track

FIRST, SECOND = "what is the time", "who are you"
GAPS_S = [0.35, *(round(0.45 + 0.15 * step, 2) for step in range(18))]
LATE_S = 0.1
"""Of speech that has only begun nobody knows."""


@dataclass
class Echo(FakeBrain):
    """Its answers tell which question they are to."""

    def reply(self):
        self.replies = [f"you said {' and '.join(self._open)} and that is what i heard from you"]
        return super().reply()


@pytest.mark.parametrize("computing", ["zero", "fixed"])
@pytest.mark.parametrize("gap_s", GAPS_S)
def test_each_is_answered_once_and_no_reply_starts_during_speech(gap_s, computing):
    first, second = spoken(FIRST), spoken(SECOND)
    audio = track(silence(1), first, silence(gap_s), second, silence(7))
    done = run_session(audio, Echo([FIRST, SECOND], probabilities=[0.95]), f"replay.compute_time={computing}")
    begins = (1.0, 1.0 + len(first) / RATE + gap_s)
    ends = (1.0 + len(first) / RATE, begins[1] + len(second) / RATE)
    for start in done.of(ev.FirstAudio):
        assert not any(
            begin + LATE_S < start.at / RATE < end for begin, end in zip(begins, ends, strict=True)
        )
    finished = [event.text for event in done.of(ev.ReplyFinished)]
    assert SECOND in finished[-1]
    for text in (FIRST, SECOND):
        assert sum(text in answer for answer in finished) <= 1
    asked = " ".join(text for role, text in done.brain.history if role == "user")
    assert (asked.count(FIRST), asked.count(SECOND)) == (1, 1)
