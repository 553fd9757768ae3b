"""What the README and the pages beside it say is true: code runs, commands work, names and paths exist."""

import ast
import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import typer
import yaml

from taste_agent.cli import app
from taste_agent.config import AgentSettings
from taste_agent.config.sources import setting_names
from taste_speech.training.config import STAGES
from tests.taste_agent.speech import RATE, noise, silence, spoken, track

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")))
    if not path.name.endswith(".zh-TW.md")
)
"""The English ones."""
PAIRS = {name: name.replace(".md", ".zh-TW.md") for name in PAGES}
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for pair in PAIRS.items() for name in pair}
COMMANDS, SETTINGS, TRAINING = "docs/commands.md", "docs/settings.md", "docs/training.md"
CONTRIBUTING = "CONTRIBUTING.md"
CARD = ROOT / "taste_speech" / "checkpoints" / "small"
PROGRAM = "taste-agent"
FIRST_SCREEN_LINES, PICTURE_BYTES = 60, 150_000
INPUTS = ("taste_agent/demo/question.wav", "question.wav", "first.wav", "second.flac")
SECTIONS = set(AgentSettings.model_fields)
PATH_IN_TREE = re.compile(r"^(?P<indent> *)(?P<name>\S+) {2,}\S")
STOP = re.compile(r"^\d+\. `([^`\s]+)` `([^`\s]+)`", flags=re.M)


def both(name: str) -> tuple[str, str]:
    """A page's name in both languages."""
    return name, PAIRS[name]


class Block(NamedTuple):
    """A fenced block and the heading above it."""

    heading: str
    language: str
    text: str


def blocks(text: str) -> list[Block]:
    found: list[Block] = []
    heading = ""
    language: str | None = None
    lines: list[str] = []
    for line in text.splitlines():
        fence = re.match(r"^ *```(\w*)$", line)
        if fence and language is None:
            language, lines = fence[1], []
        elif fence and language is not None:
            found.append(Block(heading, language, "\n".join(lines)))
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ").strip()
    return found


def outside_blocks(text: str) -> str:
    return re.sub(r"^ *```\w*\n.*?^ *```$", "", text, flags=re.M | re.S)


def commands(text: str) -> list[tuple[str, list[str]]]:
    """(heading, words) of every command line, without environment and redirection."""
    found = []
    for block in blocks(text):
        if block.language != "sh":
            continue
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:
                words.pop(0)
            if words and words[0] == PROGRAM:
                found.append((block.heading, words[1 : words.index(">") if ">" in words else None]))
    return found


def code(language: str, name: str) -> list[str]:
    return [block.text for block in blocks(TEXTS[name]) if block.language == language]


PYTHON_BLOCKS = [(name, index) for name in PAGES for index in range(len(code("python", name)))]


def parse(words: list[str]) -> None:
    """Let the command line read its arguments without running anything."""
    command: Any = typer.main.get_command(app)
    context = command.make_context(PROGRAM, list(words))
    while hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if not rest and command.invoke_without_command:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


@pytest.fixture
def workplace(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages name, where the tiny checkpoint is the default one."""
    for name in INPUTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, noise(1.0, -20.0), RATE)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTE_AGENT_MODEL__CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setenv("TASTE_AGENT_MODEL__DEVICE", "cpu")
    monkeypatch.setenv("TASTE_AGENT_SAMPLING__MAX_LENGTH", "6")
    return tmp_path


def commands_of(section: str) -> list[list[str]]:
    found = [words for heading, words in commands(TEXTS[COMMANDS]) if heading == section]
    assert found, section
    return found


def run(words: list[str]) -> None:
    assert not app(words, prog_name=PROGRAM, standalone_mode=False)


@pytest.mark.parametrize(("name", "index"), PYTHON_BLOCKS)
def test_the_python_blocks_run(name: str, index: int, workplace: Path, tiny_checkpoint: Path) -> None:
    block = code("python", name)[index]
    assert '"small"' in block
    block = block.replace('"small"', repr(str(tiny_checkpoint))).replace("max_length=80", "max_length=6")
    exec(compile(block, name, "exec"), {})
    written = re.findall(r'soundfile\.write\("(\S+)"', block)
    assert written or 'save_pretrained("adapted")' in block
    for file in written:
        samples, rate = soundfile.read(workplace / file)
        assert rate == 16000
        assert np.abs(samples).max() > 0, "no sound came out"


def test_the_replay_commands_run(workplace: Path) -> None:
    for name in INPUTS:
        soundfile.write(workplace / name, track(silence(0.3), spoken("hello"), silence(0.3)), RATE)
    for words in commands_of("replay"):
        before = set(workplace.glob("taste-agent-*"))
        run(words)
        folders = {workplace / words[words.index("--out") + 1]} if "--out" in words else set()
        folders |= set(workplace.glob("taste-agent-*")) - before
        written = {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}
        assert written >= {"reply.wav", "session.wav", "session.png", "events.jsonl", "transcript.txt"}, words


def test_the_say_commands_run(workplace: Path) -> None:
    for words in commands_of("say"):
        run(words)
        assert soundfile.info(workplace / words[words.index("--out") + 1]).frames > 0


def test_the_tokens_commands_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write("question.wav", track(silence(0.3), spoken("what is the time"), silence(0.3)), RATE)
    for words in commands_of("tokens"):
        run(words)
        shown = capsys.readouterr().out
        if "--json" in words:
            text = words[words.index("--text") + 1]
            assert [row["word"] for row in json.loads(shown)] == text.split()
        else:
            assert "Taste token" in shown


def test_the_config_commands_run(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTE_AGENT_SAMPLING__TEXT_TOP_P", "0.5")
    for words in commands_of("config"):
        run(words)
        shown = capsys.readouterr().out
        if "show" in words:
            assert re.search(
                r"sampling.text_top_p: 0.5 +# environment TASTE_AGENT_SAMPLING__TEXT_TOP_P", shown
            )
    assert (workplace / "my.yaml").exists()


def test_every_command_can_be_parsed() -> None:
    for name in PAGES:
        for _, words in commands(TEXTS[name]):
            parse(words)
    assert len(commands(TEXTS[COMMANDS])) > 15
    assert len(PYTHON_BLOCKS) > 1


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match=r"(?i)no such option"):
        parse(["replay", "a.wav", "--loud"])


@pytest.mark.parametrize("name", both(COMMANDS))
def test_every_command_of_the_program_has_its_section(name: str) -> None:
    program: Any = typer.main.get_command(app)
    known = set(program.commands)
    described = set(re.findall(r"^### (\S+)$", TEXTS[name], flags=re.M))
    listed = set(re.findall(r"^\| `(\w+)` \|", TEXTS[name], flags=re.M))
    listed = {word for word in listed if len(word) > 1}  # the table of keys has the same form
    assert described >= known
    assert listed == known


@pytest.mark.parametrize("name", PAGES)
def test_both_languages_say_the_same(name: str) -> None:
    english, chinese = (TEXTS[page] for page in both(name))
    for language in ("sh", "python"):
        for one, other in zip(*(code(language, page) for page in both(name)), strict=True):
            if language == "python":
                assert ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
            else:
                plain = [re.sub(r"\s+# .*", "", text) for text in (one, other)]
                assert plain[0] == plain[1]
    for same in (
        heading_levels,
        command_words,
        setting_rows,
        figures,
        formulas,
        STOP.findall,
        comments,
        targets,
    ):
        assert same(english) == same(chinese), same
    assert len(table_rows(english)) == len(table_rows(chinese))


def command_words(text: str) -> list[list[str]]:
    return [words for _, words in commands(text)]


def heading_levels(text: str) -> list[str]:
    return re.findall(r"^(#+) ", outside_blocks(text), flags=re.M)


def table_rows(text: str) -> list[str]:
    return re.findall(r"^\|.*\|$", text, flags=re.M)


def figures(text: str) -> list[str]:
    """Rows of the tables that a command wrote, which are in no language."""
    tables = re.findall(r"^(\|(?: stage \| p50 | what must hold ).*(?:\n\|.*)*)", text, flags=re.M)
    return [row for table in tables for row in table.splitlines()]


def formulas(text: str) -> list[str]:
    return re.findall(r"^    \S.*$", outside_blocks(text), flags=re.M)


def comments(text: str) -> list[str]:
    return re.findall(r"<!--.*?-->", text, flags=re.S)


def targets(text: str) -> list[str]:
    """Where links lead, but for the language."""
    links = [link.replace(".zh-TW.md", ".md") for link in re.findall(r"\]\(([^)]+)\)", text)]
    return sorted(links)


def setting_rows(text: str) -> list[tuple[str, str]]:
    """(name, default) of each row of the tables of settings."""
    rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (\S+) \|", text, flags=re.M)
    return [row for row in rows if row[0].split(".")[0] in SECTIONS]


def test_settings_and_their_defaults_are_those_of_the_schema() -> None:
    settings = AgentSettings()
    rows = setting_rows(TEXTS[SETTINGS])
    assert len(rows) >= 10
    for dotted, default in rows:
        section, field = dotted.split(".")
        assert getattr(getattr(settings, section), field) == yaml.safe_load(default), dotted


@pytest.mark.parametrize("name", TEXTS)
def test_settings_that_are_named_exist(name: str) -> None:
    for dotted in re.findall(r"(?:`|--set )([a-z_]+\.[a-z_]+)\b", TEXTS[name]):
        is_file = dotted.endswith((".py", ".wav", ".yaml", ".png"))
        assert is_file or dotted.split(".")[0] not in SECTIONS or dotted in setting_names(), dotted


def test_the_figures_of_the_model_card_are_those_that_were_measured() -> None:
    card = (CARD / "README.md").read_text(encoding="utf-8").splitlines()
    parts = json.loads((CARD / "evaluation.json").read_text(encoding="utf-8"))["parts"]
    measured = [row for part in parts for row in part["rows"]]
    assert len(measured) > 20
    for row in measured:
        figure = f"| {row['name']} | {row['value']:.3g} {row['unit']}".rstrip() + " |"
        assert any(line.startswith(figure) for line in card), figure


@pytest.mark.parametrize("name", both("README.md"))
def test_the_first_screen_says_what_one_needs_first(name: str) -> None:
    first = TEXTS[name][: TEXTS[name].index("\n## ")]
    assert len(first.splitlines()) <= FIRST_SCREEN_LINES
    for needed in ("![", "make demo ", "make chat ", "PIP_EXTRA_INDEX_URL", "Tell me a joke.", "--system"):
        assert needed in first, needed
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", first)
    assert (ROOT / picture).stat().st_size <= PICTURE_BYTES


@pytest.mark.parametrize("limit", [20, 8, 18])
def test_a_walk_leads_through_functions_that_exist(limit: int) -> None:
    text = TEXTS[CONTRIBUTING]
    walk = text[text.index(f"<!-- walk: at most {limit} files -->") :].split("\n## ", 1)[0]
    stops = STOP.findall(walk)
    assert len(stops) > 5
    visits = Counter(file for file, _ in stops)
    assert len(visits) <= limit
    assert max(visits.values()) <= 2, "no file is entered more than twice"
    assert [stop for stop in stops if stop[1] not in definitions(ROOT / stop[0])] == []


def definitions(path: Path) -> set[str]:
    """Names of the functions and classes of a file; those of methods with their class."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("name", both(TRAINING))
def test_the_stages_of_training_are_those_that_run_one_after_the_other(name: str) -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", TEXTS[name], flags=re.M)) == STAGES


def test_pages_that_the_code_cites_exist() -> None:
    cited = [
        (page, title)
        for package in ("taste_speech", "taste_agent")
        for path in (ROOT / package).rglob("*.py")
        for page, title in re.findall(r"(docs/[\w.-]+\.md)(?:, ([A-Z][^).]+))?", path.read_text())
    ]
    assert len(cited) > 2
    for page, title in cited:
        assert not title or f"## {title}\n" in TEXTS[page], (page, title)


def tree_entries(text: str) -> list[str]:
    """The path of each line of the file tree."""
    tree = next(block.text for block in blocks(text) if block.language == "text")
    parents: list[str] = []
    found = []
    for line in tree.splitlines():
        match = PATH_IN_TREE.match(line)
        assert match, f"not `name  what it is`: {line!r}"
        depth = len(match["indent"]) // 2
        parents[depth:] = [match["name"]]
        found.append("".join(parents))
    return found


@pytest.mark.parametrize("name", both(CONTRIBUTING))
def test_the_file_tree_is_that_of_the_repository(name: str) -> None:
    entries = tree_entries(TEXTS[name])
    missing = [entry for entry in entries if not (ROOT / entry).exists()]
    assert not missing
    assert all((ROOT / entry).is_dir() == entry.endswith("/") for entry in entries)
    for package in ("taste_speech", "taste_agent"):
        folders = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / package).glob("*/__init__.py")}
        assert folders <= set(entries)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        if target.startswith("#"):
            anchors = re.findall(r"^#+ (.+)$", TEXTS[name], flags=re.M)
            assert target[1:] in [anchor.lower().replace(" ", "-") for anchor in anchors], target
        else:
            assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_exist(name: str) -> None:
    for path in re.findall(r"`([\w.-]+/(?:[\w.-]+/)*(?:[\w-]+\.(?:py|yaml|md))?)`", TEXTS[name]):
        assert any((root / path).exists() for root in (ROOT, ROOT / "taste_speech")), path


@pytest.mark.parametrize("name", TEXTS)
def test_no_address_and_no_private_path(name: str) -> None:
    assert not re.search(r"://|www\.|/(work|root|home|tmp|Users)/", TEXTS[name])
