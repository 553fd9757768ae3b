import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "COLUMNS": "200",
}


def run(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None):
    command = [sys.executable, "-m", "taste_agent", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENV | (env or {}), cwd=cwd, timeout=120
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['taste-agent', '--help']\n"
        "from taste_agent.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'transformers', 'matplotlib', 'pydantic', 'yaml', 'soundfile'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV, timeout=120)
    assert "HEAVY []" in done.stdout
    assert "replay" in done.stdout


def test_every_command_has_help_with_an_example():
    names = ["replay", "chat", "devices", "doctor", "say", "tokens", "bench"]
    for command in [*([name] for name in names), *(["config", name] for name in ("show", "init", "check"))]:
        done = run(*command, "--help")
        assert done.returncode == 0
        assert "Example:" in done.stdout, command
        assert not re.search(r"<\w", done.stdout), "a type of Python's"


def test_an_ascii_terminal_gets_ascii():
    pty = pytest.importorskip("pty")
    terminal, other = pty.openpty()
    code = (
        "import sys; sys.argv = ['taste-agent', '--version']\n"
        "from taste_agent.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "from rich.console import Console; from rich.table import Table\n"
        "table = Table('a'); table.add_row('b…'); Console().print(table)"
    )
    for name, is_ascii in (("POSIX", True), ("C.UTF-8", False)):
        environment = ENV | {"LC_ALL": name, "TERM": "xterm"}
        subprocess.run([sys.executable, "-c", code], stdout=other, env=environment, timeout=60, check=True)
        assert os.read(terminal, 10_000).isascii() == is_ascii
    os.close(terminal)
    os.close(other)


def test_version():
    from taste_agent import __version__

    assert run("--version").stdout.strip() == f"taste-agent {__version__}"


def test_config_init_check_and_show(tmp_path):
    written = run("config", "init", "my.yaml", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (0, "wrote my.yaml\n")
    assert run("config", "check", "my.yaml", cwd=tmp_path).returncode == 0
    again = run("config", "init", "my.yaml", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.startswith("taste-agent: my.yaml already exists")
    (tmp_path / "my.yaml").write_text("vad: {frame_ms: 30}\n")
    shown = run("config", "show", "--config", "my.yaml", "--set", "sampling.seed=3", cwd=tmp_path).stdout
    assert "vad.frame_ms: 30" in shown
    line = next(line for line in shown.splitlines() if line.startswith("sampling.seed: 3"))
    assert line.endswith("# command line")


def test_config_check_lists_all_mistakes(tmp_path):
    (tmp_path / "my.yaml").write_text("vad: {frame_ms: 15}\nsampling: {sed: 1}\n")
    done = run("config", "check", "my.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert [line.split(" ")[:3] for line in done.stdout.splitlines()] == [
        ["unknown", "setting", "sampling.sed"],
        ["vad.frame_ms", "=", "15"],
    ]
    assert done.stderr == "taste-agent: my.yaml has 2 mistakes\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["replay", "none.wav"], 1, "none.wav does not exist"),
        (["replay", "none.wav", "--set", "sampling.sed=1"], 2, "did you mean sampling.seed?"),
        (["replay", "none.wav", "--compute-time", "never"], 2, "replay.compute_time = 'never'"),
        (["replay", "none.wav", "--device", "tpu"], 2, "model.device = 'tpu'"),
        (["config", "check", "none.yaml"], 2, "none.yaml does not exist"),
        (["devices", "--tone", "inf"], 2, "'--tone'"),
    ],
)
def test_errors_are_one_line_on_stderr(tmp_path, arguments, code, message):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("taste-agent: ")
    assert message in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    done = run("replay", "none.wav", "--debug", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "AudioError" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["replay", "none.wav", "--set", "sampling.sed=1"], "SettingsError"),
        (["replay"], "MissingParameter"),
    ],
)
def test_debug_changes_no_exit_code(tmp_path, arguments, kind):
    plain, debug = (run(*arguments, *flag, cwd=tmp_path) for flag in ([], ["--debug"]))
    assert (plain.returncode, debug.returncode) == (2, 2)
    assert debug.stderr.startswith("Traceback")
    assert kind in debug.stderr
    assert debug.stderr.endswith(plain.stderr)


def test_only_without_debug_is_it_offered():
    code = (
        "from taste_agent.config import sources\n"
        "def fail(*_): raise RuntimeError('no')\n"
        "sources.load_settings = fail\n"
        "from taste_agent.cli import main\n"
        "main()"
    )
    plain, debug = (
        subprocess.run([sys.executable, "-c", code, "config", "show", *flag], capture_output=True, text=True)
        for flag in ([], ["--debug"])
    )
    assert (plain.returncode, debug.returncode) == (1, 1)
    assert plain.stderr == "taste-agent: RuntimeError: no (--debug shows where)\n"
    assert debug.stderr.startswith("Traceback")
    assert debug.stderr.endswith("\ntaste-agent: RuntimeError: no\n")


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--debug"], ["--help"]])
def test_a_closed_pipe_ends_it_as_failed_and_without_a_word(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "taste_agent", *arguments]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=ENV, timeout=120)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_usage_errors_exit_with_2():
    assert run("replay").returncode == 2
    assert run("nonsense").returncode == 2


def test_usage_errors_name_the_help():
    assert run("replay").stderr == "taste-agent: Missing argument 'FILE'; see taste-agent replay --help\n"
