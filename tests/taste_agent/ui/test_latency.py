from taste_agent import events as ev
from taste_agent.ui.latency import stages_text, waited_text


def test_the_line_sums_as_it_is_written():
    first = ev.FirstAudio(0, 1, 700.4, 299.4, 120.4, 50.0, 20.0, 10.0, 60.0, 60.4)
    assert waited_text(first.latency_ms) == "you waited 1119 ms = silence 700 + computing 299 + card 120"
    assert stages_text(first.latency_ms) == "recognise 50, tokenize 20, read 10, think 60, voice 60"
