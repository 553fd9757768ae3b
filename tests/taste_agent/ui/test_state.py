import pytest

from taste_agent import events as ev
from taste_agent.ui.state import ViewState, reduce


def after(*events, state=None):
    state = state or ViewState()
    for event in events:
        state = reduce(state, event)
    return state


STARTED = ev.SessionStarted(0, "mic", "small", 320, 16000)
ASKED = ev.UserTurn(16000, 1, "what is the time", (), 0, 9000)
FIRST = ev.FirstAudio(20000, 1, 700.0, 200.0, 120.0, 50.0, 20.0, 10.0, 60.0, 60.0)
CHUNK = ev.ReplyChunk(19000, 1, ("it", "is", "five"), 9600, 60.0, 60.0)


def test_question_and_answer():
    state = after(STARTED, ev.SpeechStarted(2000, 0), ev.PartialHeard(5000, 0, "what is"))
    assert (state.phase, state.partial) == ("hearing", "what is")
    state = after(ASKED, CHUNK, FIRST, ev.WordHeard(22000, 1, 0, "it"), state=state)
    assert (state.phase, state.partial, state.latency) == ("speaking", "", FIRST)
    person, agent = state.turns
    assert person.words == ("what", "is", "the", "time")
    assert (agent.words, agent.heard) == (("it", "is", "five"), 1)
    assert after(ev.ReplyFinished(30000, 1, "it is five", 0, 900.0, 0.2), state=state).phase == "listening"


def test_thinking_until_the_first_sound():
    assert after(STARTED, ASKED, CHUNK).phase == "thinking"


def test_interruption_keeps_what_was_heard():
    cancelled = ev.ReplyCancelled(25000, 1, "word", 2, "it is", "five")
    started, paused = ev.SpeechStarted(24000, 23000), ev.PlaybackPaused(24000, 1, 23000)
    state = after(STARTED, ASKED, CHUNK, FIRST, started, paused, cancelled)
    assert state.phase == "hearing"
    assert after(ev.SpeechEnded(30000, 29000), state=state).phase == "listening"
    assert (state.turns[-1].heard, state.turns[-1].cut) == (2, True)


def test_a_reply_that_was_heard_to_its_end_was_not_interrupted():
    cancelled = ev.ReplyCancelled(25000, 1, "word", 3, "it is five", "")
    assert not after(STARTED, ASKED, CHUNK, FIRST, cancelled).turns[-1].cut


def test_whether_the_person_speaks():
    state = after(STARTED, ev.SpeechStarted(2000, 0))
    assert state.person_speaks
    assert not after(ev.SpeechEnded(9000, 8000), state=state).person_speaks


def test_false_interruption_goes_on():
    state = after(STARTED, ASKED, CHUNK, FIRST, ev.PlaybackPaused(24000, 1, 23000))
    assert state.phase == "waiting"
    assert after(ev.PlaybackResumed(26000, 1, "backchannel", 1), state=state).phase == "speaking"


def test_interrupted_by_key_listens():
    cancelled = ev.ReplyCancelled(25000, 1, "key", 0, "", "it is five")
    assert after(STARTED, ASKED, CHUNK, FIRST, cancelled).phase == "listening"


@pytest.mark.parametrize(
    ("reason", "notice"),
    [
        ("nothing_recognized", "did not catch that"),
        ("echo", "heard only my own echo"),
        ("backchannel", ""),
        ("unanswered", "not answered: mm i mean"),
    ],
)
def test_dropped_speech_is_told(reason, notice):
    state = after(STARTED, ev.SpeechStarted(2000, 0), ev.SpeechDropped(9000, (0,), reason, "mm i mean"))
    assert (state.phase, state.notice) == ("listening", notice)


def test_turn_that_went_on_before_its_answer_is_told_once():
    again = ev.UserTurn(40000, 2, "what is the time in rome", (), 0, 39000)
    state = after(STARTED, ASKED, ev.ReplyCancelled(20000, 1, "word", 0, "", ""), again)
    assert [turn.role for turn in state.turns] == ["user", "assistant"]
    assert state.turns[0].words[-1] == "rome"


def test_a_reply_that_goes_on_is_shown_as_one_more_line():
    cancelled = ev.ReplyCancelled(25000, 1, "word", 2, "it is", "five")
    dropped = ev.SpeechDropped(39000, (1,), "unanswered", "um home")
    state = after(STARTED, ASKED, CHUNK, FIRST, cancelled, dropped, ev.ReplyTakenUp(40000, 2))
    assert state.phase == "thinking"
    state = after(ev.ReplyChunk(41000, 2, ("five",), 1, 0.0, 0.0), state=state)
    assert [turn.words for turn in state.turns[1:]] == [("it", "is", "five"), ("five",)]


def test_what_gets_no_answer_is_told():
    dropped = ev.SpeechDropped(20000, (0,), "unanswered", "what is the time")
    state = after(STARTED, ASKED, ev.NoSpeech(20000, 1), dropped)
    assert (state.phase, state.notice) == ("listening", "it has nothing to say to that")


def test_chunks_of_another_reply_change_nothing():
    state = after(
        STARTED, ASKED, ev.ReplyChunk(1, 7, ("other",), 1, 0.0, 0.0), ev.WordHeard(2, 7, 0, "other")
    )
    assert state.turns[-1].words == ()


def test_conversation_is_bounded():
    turns = [ev.UserTurn(i, i, f"question {i}", (), i, i) for i in range(1, 1200)]
    chunks = [ev.ReplyChunk(i, i, ("yes",), 1, 0.0, 0.0) for i in range(1, 1200)]
    state = after(STARTED, *(event for pair in zip(turns, chunks, strict=True) for event in pair))
    assert len(state.turns) == 1000


def test_a_question_stays_when_something_else_is_typed_before_its_answer():
    typed = ev.UserTurn(17000, 2, "be brief", (), 17000, 17000)
    state = after(STARTED, ASKED, ev.ReplyCancelled(17000, 1, "typed", 0, "", ""), typed)
    said = [" ".join(turn.words) for turn in state.turns if turn.role == "user"]
    assert said == ["what is the time", "be brief"]


def test_a_turn_to_which_there_is_nothing_to_say_is_told():
    state = after(STARTED, ASKED, ev.NoSpeech(20000, 1))
    assert [turn.cut for turn in state.turns] == [True, False]
