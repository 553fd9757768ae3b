"""What a person would want, on spoken input and the virtual clock; the model's part is written here."""

import numpy as np
import pytest

from taste_agent import events as ev
from taste_agent.config import AgentSettings
from tests.taste_agent.fakes import WORD_SAMPLES, FakeBrain, Outcome, run_session
from tests.taste_agent.speech import RATE, at_level, cough, music, noise, silence, spoken, track

LONG = "this is quite a long answer and it goes on for a good while so that you can interrupt me"
PAUSE_LIMIT_MS = 250
FADE_MS = AgentSettings().playback.fade_ms


def loud_between(audio: np.ndarray, start_s: float, end_s: float) -> bool:
    return bool(np.abs(audio[int(start_s * RATE) : int(end_s * RATE)]).max(initial=0) > 0)


def interrupted_by(
    sound: np.ndarray, text: str, after_s: float = 4.0, *overrides: str
) -> tuple[Outcome, float]:
    """A long answer with a sound over it; returns what happened and when the sound began."""
    question = spoken("tell me a story about a dog")
    audio = track(silence(1), question, silence(after_s), sound, silence(3))
    brain = FakeBrain(["tell me a story about a dog", text], [LONG, "all right"])
    return run_session(audio, brain, *overrides), 1 + len(question) / RATE + after_s


@pytest.mark.parametrize("voice", ["high", "low"])
def test_a_question_is_answered(voice):
    question = spoken("what is the capital of france", voice)
    brain = FakeBrain(["what is the capital of france"], ["the capital is paris"])
    done = run_session(track(silence(1), question, silence(3)), brain)
    assert [e.text for e in done.of(ev.UserTurn)] == ["what is the capital of france"]
    assert [e.text for e in done.of(ev.ReplyFinished)] == ["the capital is paris"]
    assert brain.history == [("user", "what is the capital of france"), ("assistant", "the capital is paris")]
    turn = done.of(ev.TurnEnded)[0]
    assert turn.end_of_speech == pytest.approx(RATE + len(question), abs=0.12 * RATE)
    assert 700 <= turn.silence_ms <= 800
    first = done.of(ev.FirstAudio)[0]
    assert first.at == np.flatnonzero(done.audio)[0] // 320 * 320 + 320
    assert first.computing_ms < 400


@pytest.mark.parametrize(
    ("finished", "silence_ms"),
    [(0.95, 300), (0.55, 1050), (0.05, 1800)],
    ids=["done", "unsure", "going on"],
)
def test_the_answer_comes_the_sooner_the_more_finished_the_question_sounds(finished, silence_ms):
    brain = FakeBrain(["what is the capital of france"], ["the capital is paris"])
    brain.scripted.finished = finished
    done = run_session(track(silence(1), spoken("what is the capital of france"), silence(3)), brain)
    (turn,) = done.of(ev.TurnEnded)
    # Recognizing and reading the turn begin after 300 ms and take 180 on this clock.
    assert silence_ms <= turn.silence_ms <= max(silence_ms, 480) + 40


def test_who_goes_on_after_a_pause_that_sounded_unfinished_is_not_answered_in_it():
    parts = ["i would like to know", "where the river begins"]
    brain = FakeBrain(parts, ["in the hills"])
    brain.scripted.finished = 0.1
    done = run_session(track(silence(1), spoken(parts[0]), silence(1.2), spoken(parts[1]), silence(3)), brain)
    assert [e.text for e in done.of(ev.UserTurn)] == [" ".join(parts)]


def test_what_is_kept_of_the_speech_begins_before_its_first_sound():
    done = run_session(track(silence(1), spoken("stop"), silence(2)), FakeBrain(["stop"], ["fine"]))
    heard = done.brain.scripted.accepted[0]
    started = done.of(ev.SpeechStarted)[0]
    assert started.first_sample == pytest.approx(RATE, abs=0.1 * RATE)
    assert heard > 0.4 * RATE + len(spoken("stop"))


def test_two_questions_one_after_the_other():
    audio = track(
        silence(1), spoken("what is the time"), silence(4), spoken("and who are you", voice="low"), silence(3)
    )
    done = run_session(
        audio, FakeBrain(["what is the time", "and who are you"], ["it is noon", "i am taste"])
    )
    assert done.brain.history == [
        ("user", "what is the time"),
        ("assistant", "it is noon"),
        ("user", "and who are you"),
        ("assistant", "i am taste"),
    ]


@pytest.mark.parametrize("pause_s", [0.3, 0.5, 0.65])
def test_a_hesitation_within_the_configured_length_is_one_turn(pause_s):
    parts = ["i would like to know", "where the river begins"]
    audio = track(silence(1), spoken(parts[0]), silence(pause_s), spoken(parts[1]), silence(3))
    texts = parts if pause_s > 0.35 else [" ".join(parts)]
    done = run_session(audio, FakeBrain(texts, ["in the hills"], [1.0]))
    assert [e.text for e in done.of(ev.UserTurn)] == [" ".join(parts)]
    assert len(done.of(ev.FirstAudio)) == 1
    assert len(done.of(ev.RunAheadDropped)) == len(done.of(ev.RunAheadStarted)) - 1


def test_a_hanging_sentence_is_waited_for_up_to_the_maximum():
    audio = track(silence(1), spoken("i would like to"), silence(1.5), spoken("go home"), silence(4))
    done = run_session(audio, FakeBrain(["i would like to", "go home"], ["good night"], [1.0]))
    assert [e.text for e in done.of(ev.UserTurn)] == ["i would like to go home"]


@pytest.mark.parametrize(("probability", "silence_ms"), [(1.0, 700), (0.55, 1250), (0.1, 1800), (None, 700)])
def test_the_models_own_probability_sets_the_silence(probability, silence_ms):
    audio = track(silence(1), spoken("what is the time"), silence(4))
    done = run_session(audio, FakeBrain(["what is the time"], ["noon"], [probability]))
    assert done.of(ev.TurnEnded)[0].silence_ms == pytest.approx(silence_ms, abs=20)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.49, 0.51])
def test_it_answers_at_the_latest_after_the_longest_silence(probability):
    audio = track(silence(1), spoken("i do not know"), silence(5))
    done = run_session(audio, FakeBrain(["i do not know"], ["all right"], [probability]))
    (turn,) = done.of(ev.TurnEnded)
    assert turn.silence_ms <= 1820
    assert done.brain.history == [("user", "i do not know"), ("assistant", "all right")]


def test_what_the_model_has_nothing_to_say_to_is_told_and_forgotten():
    audio = track(silence(1), spoken("well you see"), silence(4), spoken("i am hungry"), silence(4))
    done = run_session(audio, FakeBrain(["well you see", "i am hungry"], [None, "eat something"]))
    assert [e.text for e in done.of(ev.UserTurn)] == ["well you see", "i am hungry"]
    assert len(done.of(ev.NoSpeech)) == 1
    assert [e.reason for e in done.of(ev.SpeechDropped)] == ["unanswered"]
    assert done.brain.history == [("user", "i am hungry"), ("assistant", "eat something")]


@pytest.mark.parametrize("voice", ["high", "low"])
@pytest.mark.parametrize("frame_ms", [10, 20, 30])
def test_an_interruption_pauses_quickly_and_cancels(voice, frame_ms):
    done, began_s = interrupted_by(
        spoken("no stop that please", voice), "no stop that please", 4.0, f"vad.frame_ms={frame_ms}"
    )
    (paused,) = done.of(ev.PlaybackPaused)
    assert paused.at / RATE - began_s <= (PAUSE_LIMIT_MS - FADE_MS) / 1000
    lead = frame_ms / 1000  # the first frame of output sounds after the first frame of input
    assert loud_between(done.audio, began_s - 0.1 - lead, began_s - lead)
    assert not loud_between(done.audio, began_s + PAUSE_LIMIT_MS / 1000 - lead, began_s + 1.5)
    (cut,) = done.of(ev.ReplyCancelled)
    assert f"{cut.heard_text} {cut.cut_text}" == LONG
    heard = [e for e in done.of(ev.WordHeard) if e.generation == 1]
    assert cut.heard_words == len(heard) == len(cut.heard_text.split())
    assert done.brain.history == [
        ("user", "tell me a story about a dog"),
        ("assistant", cut.heard_text),
        ("user", "no stop that please"),
        ("assistant", "all right"),
    ]


def test_heard_words_are_those_whose_sound_was_played():
    done, _ = interrupted_by(spoken("no stop that please"), "no stop that please")
    first = done.of(ev.FirstAudio)[0].at
    paused = done.of(ev.PlaybackPaused)[0].at
    played = np.count_nonzero(done.audio[first - 320 : paused + RATE])
    assert done.of(ev.ReplyCancelled)[0].heard_words == played // WORD_SAMPLES


@pytest.mark.parametrize(
    ("sound", "text"),
    [("uh-huh", "uh-huh"), ("cough", ""), ("click", ""), ("yes", "yes"), ("unknown", "")],
)
def test_a_false_interruption_goes_on_from_the_word(sound, text):
    samples = {
        "uh-huh": spoken("uh huh"),
        "cough": cough(),
        "click": at_level(np.r_[np.ones(40), np.zeros(3000)].astype(np.float32), -25),
        "yes": spoken("yes"),
        "unknown": spoken("mmm"),
    }[sound]
    done, began_s = interrupted_by(samples, text)
    assert not done.of(ev.ReplyCancelled)
    assert [e.text for e in done.of(ev.ReplyFinished)] == [LONG]
    assert done.brain.history[-1] == ("assistant", LONG)
    paused, resumed = done.of(ev.PlaybackPaused), done.of(ev.PlaybackResumed)
    assert len(paused) == len(resumed) == (0 if sound == "click" else 1)
    if resumed:
        assert resumed[0].at / RATE < began_s + len(samples) / RATE + 0.47  # as soon as it is recognized
        assert resumed[0].at - paused[0].at <= RATE
        assert resumed[0].from_word == sum(e.at <= paused[0].at + 640 for e in done.of(ev.WordHeard))


def test_long_speech_takes_the_floor_although_no_word_is_known():
    done, began_s = interrupted_by(spoken("one two three four five six seven"), "")
    cancelled = done.of(ev.ReplyCancelled)[0]
    assert cancelled.reason == "speech"
    assert 0.9 <= cancelled.at / RATE - began_s <= 1.4


def test_speech_before_the_first_sound_of_the_reply_reopens_the_turn():
    first = spoken("what is the time")
    audio = track(silence(1), first, silence(0.95), spoken("in new york city"), silence(4))
    brain = FakeBrain(["what is the time", "in new york city"], ["wrong", "six"])
    done = run_session(audio, brain, "replay.fixed.word_ms=500")
    assert done.brain.history == [("user", "what is the time in new york city"), ("assistant", "six")]
    assert done.of(ev.ReplyCancelled)[0].heard_words == 0


def test_a_cough_before_the_reply_only_delays_it():
    audio = track(silence(1), spoken("what is the time"), silence(0.8), cough(), silence(4))
    done = run_session(audio, FakeBrain(["what is the time", ""], ["it is six"]), "replay.fixed.word_ms=300")
    assert [e.text for e in done.of(ev.ReplyFinished)] == ["it is six"]
    assert not done.of(ev.ReplyCancelled)


@pytest.mark.parametrize("gap_s", [1.0, 6.0])
def test_ten_turns(gap_s):
    questions = [f"question number {n} please" for n in range(10)]
    parts = [part for q in questions for part in (spoken(q), silence(gap_s + 1.5))]
    done = run_session(track(silence(1), *parts), FakeBrain(questions, [f"answer {n}" for n in range(10)]))
    assert [text for role, text in done.brain.history if role == "user"] == questions
    assert [text for role, text in done.brain.history if role == "assistant"] == [
        f"answer {n}" for n in range(10)
    ]


def test_a_monologue_is_cut_at_pauses_and_answered_once():
    sentence = "then we went along the river and came to the old mill"
    parts = [part for _ in range(16) for part in (spoken(sentence), silence(0.14))]
    audio = track(silence(1), *parts, silence(3))
    assert len(audio) > 40 * RATE
    done = run_session(audio, FakeBrain([sentence] * 4, ["i see"]))
    cuts = done.of(ev.PieceCut)
    assert cuts
    assert all(cut.at_pause for cut in cuts)
    assert all(length < 30 * RATE for length in done.brain.scripted.accepted)
    assert len(done.of(ev.FirstAudio)) == 1
    assert len([role for role, _ in done.brain.history if role == "user"]) >= 2


def test_a_monologue_without_pauses_is_cut_at_the_limit():
    sentence = spoken("one two three four five six seven eight nine ten eleven twelve", voice="low")
    audio = track(silence(1), *[sentence] * 12, silence(3))
    done = run_session(audio, FakeBrain(["numbers"] * 8, ["many"]), "endpointing.max_piece_s=10")
    assert all(length <= 10.5 * RATE for length in done.brain.scripted.accepted)
    total = sum(done.brain.scripted.accepted)
    assert total == pytest.approx(12 * len(sentence), abs=1.5 * RATE)


@pytest.mark.parametrize("sound", ["silence", "white", "loud white", "music", "digital silence"])
def test_nothing_is_said_to_what_is_not_speech(sound):
    samples = {
        "silence": silence(20),
        "white": noise(20, -45),
        "loud white": noise(20, -20),
        "music": music(20),
        "digital silence": np.zeros(20 * RATE, np.float32),
    }[sound]
    brain = FakeBrain(["the recognizer hears words in anything"] * 20, ["no"] * 20)
    done = run_session(np.concatenate([silence(1), samples, silence(3)]), brain)
    assert not done.of(ev.TurnEnded)
    assert not done.audio.any()
    assert brain.scripted.accepted == [] or not done.of(ev.PieceRecognized)


def test_a_question_in_noise_is_heard():
    audio = track(silence(1), spoken("what is the time"), silence(3))
    noisy = audio + noise(len(audio) / RATE, -42)[: len(audio)]
    done = run_session(noisy, FakeBrain(["what is the time"], ["noon"]))
    assert [e.text for e in done.of(ev.ReplyFinished)] == ["noon"]


def test_half_duplex_does_not_hear_while_it_speaks():
    done, _ = interrupted_by(spoken("no stop that please"), "never", 4.0, "barge_in.enabled=false")
    assert not done.of(ev.PlaybackPaused)
    assert done.brain.history == [("user", "tell me a story about a dog"), ("assistant", LONG)]
