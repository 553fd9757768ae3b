import pytest
from rich.console import Console

from taste_agent import events as ev
from taste_agent.session.transcript import Turn
from taste_agent.ui.tables import stages_text, timing_text, turn_table, waited_text

LATENCY = {
    "waited": 920.4,
    "silence": 700.2,
    "computing": 220.2,
    "card": 0.0,
    "recognize": 80.0,
    "tokenize": 60.0,
    "read": 40.0,
    "think": 50.0,
    "voice": 121.6,
}


def shown(turns: list[Turn], width: int) -> str:
    console = Console(width=width, file=None, record=True, quiet=False, highlight=False)
    with console.capture() as capture:
        console.print(turn_table(turns, width))
    return capture.get()


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_every_figure_and_word_is_readable_in_any_width(width):
    reply = Turn("assistant", 1, heard_text="yes [b]sir", cut_text="and more", latency_ms=LATENCY, rtf=0.512)
    text = shown(
        [Turn("user", 1, text="are you there [really]"), reply, Turn("user", 2, text="hello")], width
    )
    for part in (
        "[really]",
        "[b]sir",
        "(interrupted)",
        "waited 920 ms",
        "= silence 700",
        "+ computing 220",
        "recognize 80",
    ):
        assert part in text, part
    assert "RTF 0.51, underruns 0" in text
    assert "and more" not in text  # was never heard
    assert "no answer" in text
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_an_unfinished_reply_has_no_rtf():
    assert "RTF -, underruns 0" in timing_text(Turn("assistant", 1, latency_ms=LATENCY))


def test_the_line_sums_as_it_is_written():
    first = ev.FirstAudio(0, 1, 700.4, 299.4, 120.4, 50.0, 20.0, 10.0, 60.0, 60.4)
    assert waited_text(first.latency_ms) == "you waited 1119 ms = silence 700 + computing 299 + card 120"
    assert stages_text(first.latency_ms) == "recognize 50, tokenize 20, read 10, think 60, voice 60"
