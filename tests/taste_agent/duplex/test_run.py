"""An agent on items: what it says stands beside the input, in time with it, and is summed up by task."""

import json

import numpy as np
import pytest
import soundfile

from taste_agent.duplex.measures import Silence
from taste_agent.duplex.run import Item, Task, find_items, run_items, summarize, write_words
from taste_agent.errors import AgentError
from taste_agent.session.transcript import TranscriptWord
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.speech import RATE, silence, spoken, track

ANSWER = "this is quite a long answer and it goes on for a good while so that you can interrupt me"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Two items with one question each, of which the second ends with an interruption."""
    root = tmp_path_factory.mktemp("bench")
    question, stop = spoken("tell me a story"), spoken("stop it please")
    ends_s = 1 + len(question) / RATE
    turn = track(silence(1), question, silence(6))
    broken = track(silence(1), question, silence(2), stop, silence(4))
    window = [ends_s + 2, ends_s + 2 + len(stop) / RATE]
    for name, audio, note, stamp in (
        ("1", turn, "turn_taking.json", [ends_s, ends_s + 0.4]),
        ("2", broken, "interrupt.json", window),
    ):
        (root / name).mkdir()
        soundfile.write(root / name / "input.wav", audio, RATE)
        (root / name / note).write_text(json.dumps([{"timestamp": stamp}]))
    brain = FakeBrain(["tell me a story", "stop it please"] * 2, [ANSWER] * 4, probabilities=[0.9])
    return root, list(run_items(find_items(root), settings(), lambda _: brain)), window


def test_the_reply_is_in_time_with_the_input(ran):
    root, measured, _ = ran
    reply, rate = soundfile.read(root / "1" / "output.wav")
    given, _ = soundfile.read(root / "1" / "input.wav")
    assert (rate, reply.ndim) == (16000, 1)
    assert len(reply) == len(given)
    first = json.loads((root / "1" / "output.json").read_text())["chunks"][0]["timestamp"][0]
    assert abs(int(np.flatnonzero(reply)[0]) / rate - first) < 0.05
    assert measured[0].took_over
    assert measured[0].silence.duration_s is None
    assert measured[0].silence.probability == 0.9
    assert 0.3 < measured[0].silence.known_after_s < measured[0].silence.decided_after_s < 1
    assert measured[0].latency_s is not None
    assert measured[0].latency_s < 3


def test_each_item_is_a_talk_of_its_own(tmp_path):
    begun = []

    def begin_talk(_):
        begun.append(FakeBrain(["tell me a story"], [ANSWER]))
        return begun[-1]

    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        audio = track(silence(1), spoken("tell me a story"), silence(6))
        soundfile.write(tmp_path / name / "input.wav", audio, RATE)
    list(run_items(find_items(tmp_path), settings(), begin_talk))
    assert [[role for role, _ in brain.history] for brain in begun] == [["user", "assistant"]] * 2


def test_of_an_interruption_only_what_is_said_after_it_counts(ran):
    root, measured, window = ran
    chunks = json.loads((root / "2" / "output.json").read_text())["chunks"]
    assert chunks
    assert min(chunk["timestamp"][0] for chunk in chunks) >= window[1]
    assert measured[1].stops_s
    assert measured[1].responses_s


def test_what_is_said_after_the_input_has_ended_does_not_count(tmp_path):
    soundfile.write(tmp_path / "input.wav", track(silence(1), spoken("tell me a story"), silence(0.3)), RATE)
    (tmp_path / "pause.json").write_text('[{"timestamp": [1.0, 2.0]}]')
    brain = FakeBrain(["tell me a story"], [ANSWER])
    (measured,) = run_items(find_items(tmp_path), settings(), lambda _: brain)
    assert not measured.took_over
    assert measured.latency_s is None
    assert measured.silence == Silence(1.0, None)
    assert not soundfile.read(tmp_path / "output.wav")[0].any()


def test_figures_are_summed_up_by_task(ran):
    _, measured, _ = ran
    turn, interruption = summarize(measured)
    assert (turn.task, turn.count, turn.take_over_rate) == (Task.TURN, 1, 1.0)
    assert turn.latency_s == measured[0].latency_s
    assert (interruption.task, interruption.count) == (Task.INTERRUPTION, 1)
    assert interruption.stop_s is not None


def item(folder, name="", note=None):
    folder.mkdir(parents=True)
    (folder / "input.wav").touch()
    if name:
        (folder / name).write_text(json.dumps(note))
    return folder


def test_the_note_beside_an_input_tells_its_task(tmp_path):
    stamp = [{"text": "[PAUSE]", "timestamp": [3.5, 4.0]}]
    pause = item(tmp_path / "a" / "1", "pause.json", stamp)
    turn = item(tmp_path / "b" / "1", "turn_taking.json", stamp)
    interruption = item(tmp_path / "c" / "1", "interrupt.json", stamp)
    overlap = item(tmp_path / "d" / "1", "metadata.json", {"timestamps": [3.5, 4.0]})
    other = item(tmp_path / "e" / "1")
    window = (3.5, 4.0)
    assert find_items(tmp_path) == [
        Item(pause, Task.PAUSE, window),
        Item(turn, Task.TURN, window),
        Item(interruption, Task.INTERRUPTION, window),
        Item(overlap, Task.OVERLAP, window),
        Item(other, Task.OTHER),
    ]


def test_a_folder_without_inputs_is_refused(tmp_path):
    with pytest.raises(AgentError, match=r"holds no input\.wav; give a folder in the layout"):
        find_items(tmp_path)


@pytest.mark.parametrize("note", [{}, [], [{"timestamp": [1]}], [{"timestamp": ["a", "b"]}], 5])
def test_a_note_without_times_is_refused_with_its_name(tmp_path, note):
    item(tmp_path / "1", "pause.json", note)
    with pytest.raises(AgentError, match=r"pause\.json does not tell when it happens"):
        find_items(tmp_path)


def test_words_are_written_as_the_benchmark_reads_them(tmp_path):
    write_words(
        tmp_path / "output.json", [TranscriptWord("Rome ", 1.0, 1.5), TranscriptWord("is", 1.5, 1.75)]
    )
    assert json.loads((tmp_path / "output.json").read_text()) == {
        "text": "Rome is",
        "chunks": [
            {"text": "Rome", "timestamp": [1.0, 1.5]},
            {"text": "is", "timestamp": [1.5, 1.75]},
        ],
    }
