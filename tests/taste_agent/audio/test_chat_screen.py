"""The drawn view of the real command in tmux, with nothing but keys and what stands on the screen."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.audio
ROOT = Path(__file__).parents[3]


class Terminal:
    """A tmux terminal of its own server."""

    def __init__(self, folder, width, height):
        self.socket = str(folder / "tmux")
        self.call("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), "bash --norc")

    def call(self, *arguments):
        command = ["tmux", "-S", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def keys(self, *keys):
        self.call("send-keys", *keys)

    def type(self, text):
        self.call("send-keys", "-l", text)

    def screen(self):
        return self.call("capture-pane", "-p")

    def wait_for(self, text, limit_s=60):
        deadline_s = time.monotonic() + limit_s
        while text not in (screen := self.screen()):
            assert time.monotonic() < deadline_s, f"no {text!r} on\n{screen}"
            time.sleep(0.1)
        return screen


@pytest.fixture
def new_terminal(tmp_path):
    if shutil.which("tmux") is None:
        pytest.fail("no tmux") if os.environ.get("CI") == "true" else pytest.skip("no tmux")
    terminals = []

    def make(width, height):
        terminals.append(Terminal(tmp_path, width, height))
        return terminals[-1]

    yield make
    for terminal in terminals:
        terminal.call("kill-server")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_talk_on_the_screen(sound, speech, new_terminal, tmp_path, width, height):
    script = tmp_path / "script.json"
    replies = ["it is five o clock", "yes of course"]
    script.write_text(json.dumps({"heard": ["what is the time"], "replies": replies}))
    environment = " ".join(f"{name}='{value}'" for name, value in sound.environment.items())
    terminal = new_terminal(width, height)
    terminal.type(f"cd {ROOT}; stty -a | md5sum > {tmp_path}/before")
    terminal.keys("Enter")
    terminal.type(
        f"{environment} {sys.executable} -m tests.taste_agent.audio.talker {script} chat; echo code $?"
    )
    terminal.keys("Enter")
    terminal.wait_for("● listening")
    time.sleep(1.5)
    sound.say(speech("What is the time please?", "low"))
    screen = terminal.wait_for("Agent: it is five o clock")
    assert "You: what is the time" in screen
    assert "you waited" in screen
    assert "q quit" in screen
    assert len(screen.rstrip("\n").split("\n")) == height
    terminal.wait_for("● listening")
    terminal.keys("m")
    terminal.wait_for("MUTED")
    terminal.keys("t")
    terminal.wait_for("Esc stop typing")
    terminal.type("and you?")
    terminal.wait_for("Type: and you?")
    terminal.keys("Enter")
    terminal.wait_for("Agent: yes of course")
    terminal.wait_for("● not listening")
    terminal.keys("m")
    terminal.wait_for("● listening")
    terminal.keys("p")
    terminal.wait_for("● waiting for space")
    terminal.keys("Space")
    terminal.wait_for("space done")
    terminal.keys("q")
    screen = terminal.wait_for("code 0")
    assert "Agent: yes of course" in screen
    terminal.type(f"clear; stty -a | md5sum | cmp - {tmp_path}/before && echo 'same' 'terminal'")
    terminal.keys("Enter")
    terminal.wait_for("same terminal")


def test_interrupt_key_and_ctrl_c(sound, new_terminal, tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"heard": [], "replies": ["one two three four five six seven eight " * 4]}))
    environment = " ".join(f"{name}='{value}'" for name, value in sound.environment.items())
    terminal = new_terminal(80, 24)
    program = f"{sys.executable} -m tests.taste_agent.audio.talker {script}"
    terminal.type(f"cd {ROOT}; {environment} {program} chat; echo code $?")
    terminal.keys("Enter")
    terminal.wait_for("● listening")
    terminal.keys("t")
    terminal.type("count")
    terminal.keys("Enter")
    terminal.wait_for("● speaking")
    terminal.keys("i")
    terminal.wait_for("(interrupted)")
    terminal.keys("C-c")
    terminal.wait_for("code 130")


@pytest.fixture
def written_talk(new_terminal, tmp_path):
    """A function that starts `chat --text` with a scripted brain in a terminal."""

    def start(width=80, height=24, before=""):
        script = tmp_path / "script.json"
        script.write_text(json.dumps({"heard": [], "replies": ["one of course", "two of course"]}))
        terminal = new_terminal(width, height)
        program = f"{sys.executable} -m tests.taste_agent.audio.talker {script} chat --text --out {tmp_path}"
        terminal.type(f"cd {ROOT}; {before} {program}; echo code $?")
        terminal.keys("Enter")
        return terminal

    return start


@pytest.mark.parametrize("mark", [["-p"], []])
def test_a_paste_is_typed_text_wherever_it_lands(written_talk, tmp_path, mark):
    terminal = written_talk()
    terminal.wait_for("Enter send")
    terminal.keys("Escape")
    terminal.wait_for("? help")
    (tmp_path / "clip").write_text("my quick\nquestions\nare many")
    terminal.call("load-buffer", str(tmp_path / "clip"))
    terminal.call("paste-buffer", *mark)
    terminal.wait_for("Type: my quick questions are many")
    terminal.keys("C-w", "C-w", "C-a", "C-k", "C-y", "Left", "Left", "X", "Enter")
    terminal.wait_for("You: my quick questionXs")
    terminal.wait_for("Agent: one of course")
    terminal.keys("Up")
    terminal.wait_for("Type: my quick questionXs")
    terminal.keys("C-u", "Escape", "s")
    terminal.wait_for("saved")
    terminal.keys("q")
    screen = terminal.wait_for("code 0")
    assert "transcript.txt" in screen.split("Written to")[1].replace("\n", "")


def test_a_small_screen_has_all_that_a_talk_needs(written_talk):
    terminal = written_talk(40, 10)
    terminal.wait_for("Enter send")
    terminal.type("hello")
    terminal.keys("Enter")
    screen = terminal.wait_for("Agent: one of course")
    assert "● " in screen
    assert "You: hello" in screen
    terminal.keys("Escape")
    terminal.wait_for("? help")
    terminal.keys("?")
    terminal.wait_for("q or Ctrl-C")
    terminal.keys("Escape", "q")
    terminal.wait_for("code 0")


def test_a_terminal_that_cannot_draw_gets_lines(written_talk):
    terminal = written_talk(before="TERM=dumb")
    terminal.wait_for("ready (small)")
    terminal.type("hello")
    terminal.keys("Enter")
    terminal.wait_for("Agent: one of course")
    terminal.keys("C-d")
    terminal.wait_for("code 0")


def test_what_is_recorded_in_mid_talk_goes_to_one_folder_that_is_told(sound, new_terminal, tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"heard": [], "replies": ["one of course", "two of course"]}))
    environment = " ".join(f"{name}='{value}'" for name, value in sound.environment.items())
    terminal = new_terminal(240, 24)  # so wide that the path does not wrap at a space, which tmux drops
    program = f"{sys.executable} -m tests.taste_agent.audio.talker {script} chat --out {tmp_path}/out"
    terminal.type(f"cd {ROOT}; {environment} {program}; echo code $?")
    terminal.keys("Enter")
    terminal.wait_for("● listening")
    terminal.keys("r")
    terminal.wait_for("● REC")
    terminal.keys("t")
    terminal.type("hello")
    terminal.keys("Enter")
    terminal.wait_for("Agent: one of course")
    terminal.wait_for("● listening")
    terminal.keys("s")
    terminal.wait_for("the transcript is saved with the recording")
    terminal.keys("q")
    screen = terminal.wait_for("code 0").replace("\n", "")
    (folder,) = (tmp_path / "out").iterdir()
    assert f"Written to {folder}: events.jsonl, person.wav, session.wav, transcript.json" in screen
    turns = json.loads((folder / "transcript.json").read_text())["turns"]
    assert [turn["text"] for turn in turns] == ["hello", "one of course"]
