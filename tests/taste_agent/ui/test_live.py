import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from taste_agent import events as ev
from taste_agent.ui.live import render, scroll
from taste_agent.ui.state import Figures, TurnView, ViewState
from taste_agent.ui.terminal import Line

SIZES = [(80, 24), (160, 50)]
FIGURES = Figures(
    input_dbfs=-30.0,
    output_dbfs=-20.0,
    echo_mode="webrtc",
    echo_return_loss_db=6.0,
    echo_enhancement_db=42.0,
    device_underruns=2,
    latency_ms=120.0,
    input_name="mic",
    output_name="box",
)
TALK = ViewState(
    phase="speaking",
    model_loaded=True,
    model="small",
    elapsed_s=75.0,
    turns=(
        TurnView("user", ("what", "is", "the", "time")),
        TurnView("assistant", ("it", "is", "five", "o", "clock"), 1, heard=2),
    ),
    latency=ev.FirstAudio(0, 1, 700.0, 200.0, 120.0, 50.0, 20.0, 10.0, 60.0, 60.0),
    reply_underruns=1,
    figures=FIGURES,
)


def screen(state, width=80, height=24, styles=False):
    console = Console(
        width=width,
        height=height,
        record=True,
        force_terminal=True,
        color_system="standard",
        file=io.StringIO(),
    )
    console.print(render(state, width, height))
    return console.export_text(styles=styles)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_screen_is_filled_exactly_and_shows_everything(width, height):
    text = screen(TALK, width, height)
    lines = text.rstrip("\n").split("\n")
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    for part in (
        "● speaking",
        "small  1:15",
        "You: what is the time",
        "Agent: it is five o clock",
        "you waited 1020 ms = silence 700 + computing 200 + card 120 (stages: rec",
        "echo canceled 42 dB · underruns 2 card, 1 model · out 120 ms",
        "q quit · t type · i interrupt · m mute",
    ):
        assert part in text


def test_heard_words_are_lit_and_the_rest_is_dim():
    text = screen(TALK, styles=True)
    assert "\x1b[1mit is\x1b[0m" in text
    assert "\x1b[2mfive o clock\x1b[0m" in text


def test_cut_words_are_struck_out():
    cut = replace(TALK.turns[1], cut=True)
    text = screen(replace(TALK, turns=(TALK.turns[0], cut)), styles=True)
    assert "\x1b[2;9mfive o clock\x1b[0m" in text
    assert "(interrupted)" in text


@pytest.mark.parametrize("phase", ["loading", "listening", "hearing", "thinking", "speaking", "waiting"])
def test_every_phase_has_its_words(phase):
    from taste_agent.ui.live import PHASES

    assert PHASES[phase][0] in screen(replace(TALK, phase=phase))


@pytest.mark.parametrize(
    ("figures", "hint"),
    [
        (replace(FIGURES, microphone_advice="very quiet (-50 dB)"), "very quiet (-50 dB)"),
        (replace(FIGURES, input_name=""), "no microphone: type instead"),
        (replace(FIGURES, output_name=""), "no loudspeaker: read instead"),
        (replace(FIGURES, echo_mode="half_duplex"), "HALF DUPLEX"),
        (replace(FIGURES, echo_return_loss_db=60.0, echo_enhancement_db=None), "no echo comes back"),
        (replace(FIGURES, gated_words=3), "dropped 3"),
    ],
)
def test_hints(figures, hint):
    assert hint in screen(replace(TALK, figures=figures))


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"muted": True}, "MUTED"),
        ({"talk_key": False}, "space talk"),
        ({"talk_key": True}, "space done"),
        ({"recording": "/tmp/x"}, "● REC"),
        ({"notice": "microphone 'mic' is gone", "notice_level": "warning"}, "microphone 'mic' is gone"),
        ({"typing": Line("hello 你好")}, "Type: hello 你好"),
        ({"typing": Line()}, "Enter send · Esc stop typing"),
        ({"partial": "what is"}, "You: what is …"),
        ({"text_only": True}, "text only"),
        ({"text_only": True, "typing": Line()}, "Enter send · Esc, then q: quit"),
        ({"phase": "listening", "turns": ()}, "say something, or press t and type"),
        ({"phase": "listening", "talk_key": False}, "waiting for space"),
        ({"phase": "listening", "talk_key": True}, "● listening  TALK"),
        ({"phase": "listening", "text_only": True}, "● ready"),
        ({"phase": "listening", "model_loaded": False}, "● listening  loading"),
        ({"phase": "listening", "muted": True}, "● not listening"),
        ({"phase": "waiting", "person_speaks": True}, "● hearing you"),
        ({"phase": "waiting", "person_speaks": False}, "● waiting for you"),
        ({"phase": "hearing", "partial": "can you"}, "i answer now"),
        ({"phase": "speaking", "partial": "can you"}, "i interrupt"),
        ({"turns": (TurnView("user", ("yes",), cut=True),)}, "You: yes (not answered)"),
        ({"help": True}, "push-to-talk; space begins and ends a turn"),
    ],
)
def test_states(changes, shown):
    assert shown in screen(replace(TALK, **changes))


def test_who_is_muted_is_not_said_to_be_heard():
    state = replace(TALK, phase="hearing", talk_key=True)
    assert "hearing you" in screen(state)
    assert "hearing you" not in screen(replace(state, muted=True))
    assert "not listening" in screen(replace(state, muted=True))
    assert "TALK" not in screen(replace(state, muted=True))


def test_measures_that_do_not_fit_are_shortened_and_the_last_left_out():
    figures = replace(FIGURES, gated_words=13, device_underruns=12)
    text = screen(replace(TALK, figures=figures, reply_underruns=12))
    assert "echo canceled 42 dB · dropped 13 · gaps 12 card, 12 model · out 120 ms\n" in text


def test_nothing_is_said_of_the_microphone_while_the_model_is_loaded():
    text = screen(ViewState(model="small"))
    assert "loading the model" in text
    assert "no microphone" not in text
    assert "no reply" not in text
    assert "q quit" in text


@pytest.mark.parametrize("talk_key", [None, False, True])
@pytest.mark.parametrize("muted", [False, True])
@pytest.mark.parametrize("recording", ["", "/tmp/x"])
def test_every_key_fits_into_eighty_columns(talk_key, muted, recording):
    state = replace(TALK, talk_key=talk_key, muted=muted, recording=recording)
    keys = screen(state).rstrip("\n").split("\n")[-1]
    assert keys.rstrip().endswith("? help")
    if talk_key is None and not recording:
        assert "i interrupt" in keys


def test_long_talk_shows_its_end():
    turns = tuple(TurnView("user", (f"question{i}", *["word"] * 40)) for i in range(50))
    text = screen(replace(TALK, turns=turns))
    assert "question49" in text
    assert "question0" not in text
    assert "q quit" in text


@pytest.mark.parametrize(("width", "height"), [(200, 60), (80, 24), (79, 13), (40, 10), (10, 3), (1, 1)])
@pytest.mark.parametrize("changes", [{}, {"typing": Line("word " * 200, 500)}, {"help": True}, {"top": 0}])
def test_every_size_is_filled_exactly(width, height, changes):
    lines = screen(replace(TALK, **changes), width, height).rstrip("\n").split("\n")
    assert len(lines) == height
    assert max(map(len, lines)) <= width


def test_a_small_terminal_shows_what_a_talk_needs():
    text = screen(replace(TALK, notice="did not catch that"), 40, 10)
    for part in (
        "● speaking",
        "1:15",
        "you ",
        "You: what is the time",
        "did not catch that",
        "q quit",
        "? help",
    ):
        assert part in text
    keys = text.rstrip("\n").split("\n")[-1]
    assert "…" not in keys


def test_help_names_every_key_on_a_small_terminal():
    text = screen(replace(TALK, help=True), 40, 10)
    for keys in ("t or Enter", "i or Esc", "m ", "p, then space", "r ", "s ", "PgDn", "? ", "q or Ctrl-C"):
        assert keys in text


def test_the_cursor_of_a_long_line_is_seen():
    line = Line("first " + "word " * 100 + "last", 0)
    assert "first" in screen(replace(TALK, typing=line))
    at_end = screen(replace(TALK, typing=replace(line, cursor=len(line.text))), styles=True)
    assert re.search("last(\x1b\\[0m)?\x1b\\[[0-9;]*7m ", at_end)
    assert "first" not in at_end


def talk_of(count):
    return replace(TALK, turns=tuple(TurnView("user", (f"question{i}",)) for i in range(count)))


def test_scrolling_back_stays_in_place_while_the_talk_goes_on():
    state = scroll(talk_of(100), 80, 24, "page up")
    shown = screen(state)
    assert "question99" not in shown
    assert "more lines, PgDn shows them" in shown
    longer = screen(replace(talk_of(120), top=state.top))
    assert [line for line in longer.split("\n") if "question" in line] == [
        line for line in shown.split("\n") if "question" in line
    ]
    assert "question0" in screen(scroll(state, 80, 24, "top"))


@pytest.mark.parametrize("back", [["page down"], ["line down"] * 14, ["end"]])
def test_scrolling_down_ends_at_the_newest(back):
    state = scroll(talk_of(100), 80, 24, "page up")
    for how in back:
        state = scroll(state, 80, 24, how)
    assert state.top is None
    assert "question99" in screen(state)


def test_a_short_talk_does_not_scroll():
    assert scroll(TALK, 80, 24, "page up").top is None


def test_markup_in_words_is_plain_text():
    hostile = TurnView("user", ("[bold]hello[/bold]", "[red"))
    assert "[bold]hello[/bold] [red" in screen(replace(TALK, turns=(hostile,)))
