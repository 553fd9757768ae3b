from taste_agent import events as ev
from taste_agent.session.transcript import Transcript


def transcript(*events):
    made = Transcript()
    for event in events:
        made.take(event)
    return made.as_text().splitlines()


ASKED = ev.UserTurn(16000, 1, "yes", (), 0, 8000)


def test_a_turn_that_got_no_answer_says_so_once():
    lines = transcript(ASKED, ev.NoSpeech(20000, 1), ev.SpeechDropped(20000, (0,), "unanswered", "yes"))
    assert lines == ["[   0.00-   0.50] You: yes [not answered]"]


def test_words_that_waited_too_long_for_more_are_kept_in_the_transcript():
    lines = transcript(ASKED, ev.SpeechDropped(32000, (1,), "unanswered", "and then"))
    assert lines == ["[   0.00-   0.50] You: yes", "[   2.00-   2.00] You: and then [not answered]"]
