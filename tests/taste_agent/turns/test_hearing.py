"""Frames and recognized texts in, pieces out."""

import pytest

from taste_agent import events as ev
from taste_agent.config import AgentSettings, RecognitionSettings
from taste_agent.dialog import messages as m
from taste_agent.dialog.messages import ListenFrom, ListenStop
from taste_agent.turns.hearing import Hearing, Stretch
from taste_agent.turns.vad import FrameDecision, VadStarted

FRAME = 320
SPEECH = FrameDecision(is_speech=True, level_dbfs=-20.0, voiced=True)
HISS = FrameDecision(is_speech=True, level_dbfs=-20.0, voiced=False)
QUIET = FrameDecision(is_speech=False, level_dbfs=-60.0, voiced=False)


class Person:
    """Drives a `Hearing` frame by frame; `out` keeps all that followed."""

    def __init__(self):
        self.out = []
        self.hearing = Hearing(AgentSettings(), self.out)
        self.now = 0
        self.over_reply = False

    def go(self, frame, seconds):
        for _ in range(round(seconds * 16000 / FRAME)):
            self.now += FRAME
            change = self.hearing.push(frame)
            if not self.hearing.in_piece and (isinstance(change, VadStarted) or self.hearing.unheard):
                first = change.first_sample if isinstance(change, VadStarted) else self.now
                self.hearing.begin_piece(self.now, first, self.over_reply)
            self.hearing.follow(self.now, frame, self.over_reply)

    def understood(self, piece, text, echo="", confidence=1.0):
        self.hearing.take_recognized(self.now, m.Recognized(piece, text, (), confidence, 5.0, echo))

    def of(self, kind):
        return [output for output in self.out if isinstance(output, kind)]


@pytest.fixture
def person():
    return Person()


def test_speech_becomes_a_piece_that_begins_before_it_and_ends_with_the_pause(person):
    person.go(QUIET, 1.0)
    person.go(SPEECH, 0.6)
    assert person.hearing.in_piece
    person.go(QUIET, 1.0)
    assert not person.hearing.in_piece
    (order,) = person.of(ListenFrom)
    assert order.start == 16000 - AgentSettings().vad.pre_roll_ms * 16
    assert person.of(ListenStop | m.ClosePiece) == [ListenStop(0), m.ClosePiece(0)]
    assert person.hearing.turn.pieces[0].end == 16000 + 9600
    assert person.of(ev.RunAheadStarted)[0].pieces == (0,)


def test_what_is_said_over_the_agent_is_kept_apart(person):
    person.over_reply = True
    person.go(SPEECH, 0.6)
    assert not person.hearing.turn
    person.hearing.take_partial(person.now, m.Partial(0, "no", person.now))
    assert person.hearing.interrupting(person.now).speech_samples > 0
    person.go(QUIET, 1.0)
    assert not person.of(ev.RunAheadStarted)
    person.understood(0, "no stop")
    person.hearing.release(person.now, Stretch())
    assert person.hearing.turn.text == "no stop"
    assert not person.hearing.interjection


@pytest.mark.parametrize(
    ("text", "echo", "seconds"),
    [("", "", 0.5), ("no stop", "", 0.5), ("stop", "the sun is", 0.5), ("", "the sun is", 0.0)],
)
def test_only_speech_that_was_looked_at_and_is_no_echo_counts(person, text, echo, seconds):
    person.over_reply = True
    person.go(QUIET, 1.0)
    person.go(SPEECH, 0.5)
    assert person.hearing.interrupting(person.now).speech_samples == 0
    person.hearing.take_partial(person.now, m.Partial(0, text, person.now, echo))
    person.go(SPEECH, 0.5)
    assert person.hearing.interrupting(person.now).speech_samples == seconds * 16000
    assert [event.text for event in person.of(ev.PartialHeard)] == ([text] if text else [])


def test_without_partial_results_all_speech_counts(person):
    person.hearing = Hearing(AgentSettings(recognition=RecognitionSettings(partial_every_ms=0)), person.out)
    person.over_reply = True
    person.go(SPEECH, 1.0)
    assert person.hearing.interrupting(person.now).speech_samples == 16000


def test_silence_inside_a_piece_is_no_speech(person):
    person.hearing = Hearing(AgentSettings(recognition=RecognitionSettings(partial_every_ms=0)), person.out)
    person.over_reply = True
    person.go(SPEECH, 0.6)
    person.go(QUIET, 0.22)
    person.go(SPEECH, 0.2)
    (piece,) = person.hearing.interjection.pieces
    assert piece.open
    assert person.hearing.interrupting(person.now).speech_samples == pytest.approx(0.8 * 16000, abs=400)
    person.go(QUIET, 0.1)  # too short for the detector to end the speech
    person.go(SPEECH, 0.3)
    assert person.hearing.interrupting(person.now).speech_samples == pytest.approx(1.2 * 16000, abs=400)


def test_hiss_is_dropped_unless_a_talk_key_says_that_it_is_meant(person):
    person.go(HISS, 0.6)
    person.go(QUIET, 1.0)
    assert [event.reason for event in person.of(ev.SpeechDropped)] == ["noise"]
    assert not person.hearing.turn
    person.hearing.trusts_vad = False
    person.go(HISS, 0.6)
    person.go(QUIET, 1.0)
    assert person.hearing.turn.numbers == (1,)


@pytest.mark.parametrize(
    ("text", "echo", "confidence", "reason"),
    [
        ("", "", 1.0, "nothing_recognized"),
        ("the time", "", 0.1, "nothing_recognized"),
        ("", "the sun", 1.0, "echo"),
        ("the time", "the sun", 0.1, "nothing_recognized"),
    ],
)
def test_what_is_not_understood_is_dropped_with_its_reason(person, text, echo, confidence, reason):
    person.go(SPEECH, 0.6)
    person.go(QUIET, 1.0)
    person.understood(0, text, echo, confidence)
    assert [(event.reason, event.text) for event in person.of(ev.SpeechDropped)] == [
        (reason, echo if reason == "echo" else "")
    ]
    assert person.of(m.Drop) == [m.Drop((0,))]
    assert not person.hearing.turn


def test_a_result_for_a_piece_that_is_gone_changes_nothing(person):
    person.understood(7, "late")
    person.hearing.take_partial(0, m.Partial(7, "late", 0))
    assert person.out == []


def test_endless_speech_is_cut_at_the_limit(person):
    limit = AgentSettings().endpointing.max_piece_s
    person.go(SPEECH, limit + 2)
    (cut,) = person.of(ev.PieceCut)
    assert cut.at_pause is False
    assert cut.cut_sample == pytest.approx(limit * 16000, abs=8000)
    assert [order.piece for order in person.of(ListenFrom)] == [0, 1]


def test_stopping_ends_the_piece_at_once(person):
    person.go(SPEECH, 0.6)
    person.hearing.stop(person.now)
    assert not person.hearing.speaking
    assert not person.hearing.in_piece
    assert person.of(ev.SpeechEnded)


def test_an_unanswered_question_is_joined_by_what_follows(person):
    person.go(SPEECH, 0.6)
    person.go(QUIET, 1.0)
    question = person.hearing.take_turn()
    assert not person.hearing.turn
    person.over_reply = True
    person.go(SPEECH, 0.6)
    person.hearing.release(person.now, question)
    assert person.hearing.turn.numbers == (0, 1)


def test_run_ahead_is_dropped_once(person):
    person.go(SPEECH, 0.6)
    person.go(QUIET, 1.0)
    for _ in range(2):
        person.hearing.drop_run_ahead(person.now)
    assert len(person.of(ev.RunAheadDropped)) == 1


def test_speech_that_is_no_longer_listened_to_is_heard_again_after_a_pause(person):
    person.go(SPEECH, 0.6)
    person.hearing.stop_listening(person.now)
    assert len(person.of(ev.SpeechEnded)) == 1
    person.go(SPEECH, 1.0)
    assert not person.hearing.speaking
    assert person.of(ListenFrom) == [ListenFrom(0, 0)]
    person.go(QUIET, 0.5)
    person.go(SPEECH, 0.6)
    assert [order.piece for order in person.of(ListenFrom)] == [0, 1]
