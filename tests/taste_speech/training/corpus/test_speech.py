import random
import shutil
from dataclasses import replace

import numpy as np
import pytest

from taste_speech.errors import TasteError
from taste_speech.training.corpus.audio_store import Clip
from taste_speech.training.corpus.pitch import HOP_SAMPLES, change_pitch, track_f0
from taste_speech.training.corpus.produce import record, split_of, utterances
from taste_speech.training.corpus.selection import answers
from taste_speech.training.corpus.sentences import general_sentences
from taste_speech.training.corpus.speech import (
    Manner,
    Voice,
    changing_manner,
    paced_manner,
    random_manner,
    speak,
)
from taste_speech.training.corpus.voices import (
    CROWD_VOICES,
    DIPHONE_VOICES,
    PARAMETRIC_VOICES,
    REPLY_VOICE,
    TEST_VOICES,
    TRAIN_VOICES,
)
from taste_speech.training.evaluation.material import CORPUS_SEED, CORPUS_SENTENCES
from taste_speech.training.evaluation.voices import FRESH_VOICES
from taste_speech.training.stages.corpus import _at_other_paces
from taste_speech.training.word_times import pronunciations, timed_phones, word_ends
from tests.festival import needs_ked
from tests.rhvoice import needs_rhvoice

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
HEARD_IN_TRAINING = (*TRAIN_VOICES, *CROWD_VOICES, *DIPHONE_VOICES, *PARAMETRIC_VOICES)
TEXT = "The weather in the garden is lovely this morning."


def mean_f0(samples):
    f0 = track_f0(samples, 16_000)
    return np.median(f0[f0 > 0])


@pytest.fixture(scope="module")
def pulses():
    """One second of a 100 Hz voice-like tone."""
    phase = np.arange(16_000) / 160 * 2 * np.pi
    return (3000 * sum(np.cos(k * phase) / k for k in range(1, 9))).astype(np.int16)


def test_f0_is_tracked(pulses):
    assert mean_f0(pulses) == pytest.approx(100, rel=0.02)


def test_noise_has_no_f0():
    hiss = (1000 * np.random.default_rng(0).standard_normal(16_000)).astype(np.int16)
    assert (track_f0(hiss, 16_000) > 0).mean() < 0.05


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.25])
def test_pitch_changes_by_the_ratio_and_duration_stays(pulses, ratio):
    changed = change_pitch(pulses, 16_000, np.full(len(pulses) // HOP_SAMPLES + 1, ratio))
    assert len(changed) == len(pulses)
    assert mean_f0(changed) == pytest.approx(100 * ratio, rel=0.03)


@needs_flite
def test_flite_follows_the_manner():
    plain = speak(TEXT, REPLY_VOICE)
    assert plain.dtype == np.int16
    assert len(speak(TEXT, REPLY_VOICE, Manner(rate=1.25))) == pytest.approx(len(plain) / 1.25, rel=0.05)
    assert len(speak(TEXT, REPLY_VOICE, Manner(emphasis=4))) > len(plain)
    assert mean_f0(speak(TEXT, REPLY_VOICE, Manner(pitch=1.2))) == pytest.approx(
        1.2 * mean_f0(plain), rel=0.05
    )


@needs_flite
def test_formants_leave_rate_and_pitch_alone():
    plain = speak(TEXT, REPLY_VOICE)
    smaller = speak(TEXT, Voice("small", "flite", "rms", formants=1.1))
    assert len(smaller) == pytest.approx(len(plain), rel=0.02)
    assert mean_f0(smaller) == pytest.approx(mean_f0(plain), rel=0.05)


@pytest.mark.parametrize(
    ("engine", "variant"),
    [
        pytest.param("festival", "ked_diphone", marks=needs_ked),
        pytest.param("rhvoice", "bdl", marks=needs_rhvoice),
    ],
)
def test_rate_and_pitch_are_followed_and_formants_leave_them_alone(engine, variant):
    plain = speak(TEXT, Voice("plain", engine, variant))
    faster = speak(TEXT, Voice("plain", engine, variant), Manner(rate=1.25))
    assert len(faster) == pytest.approx(len(plain) / 1.25, rel=0.08)
    smaller = speak(TEXT, Voice("small", engine, variant, pitch=1.2, formants=1.1))
    assert len(smaller) == pytest.approx(len(plain), rel=0.05)
    assert mean_f0(smaller) == pytest.approx(1.2 * mean_f0(plain), rel=0.06)


@needs_ked
def test_a_voice_that_festival_lacks_is_named():
    with pytest.raises(TasteError, match="festival has no voice 'nobody'; install"):
        speak("hello", Voice("x", "festival", "nobody"))


def test_a_voice_that_rhvoice_lacks_is_named_as_it_would_speak_in_another(monkeypatch, tmp_path):
    monkeypatch.setenv("RHVOICE_DATA_PATH", str(tmp_path))
    with pytest.raises(TasteError, match=f"RHVoice has no voice 'bdl' in {tmp_path}/voices; install"):
        speak("hello", Voice("x", "rhvoice", "bdl"))


def test_a_missing_engine_is_named_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TasteError, match="text2wave is not installed; install the package festival"):
        speak(TEXT, Voice("ked", "festival", "ked_diphone"))


@needs_espeak
def test_espeak_follows_the_manner():
    voice = Voice("us", "espeak", "en-us")
    plain = speak(TEXT, voice)
    assert len(speak(TEXT, voice, Manner(rate=1.3))) < len(plain)
    assert mean_f0(speak(TEXT, voice, Manner(pitch=1.3))) > 1.15 * mean_f0(plain)


@needs_flite
def test_a_voice_that_does_not_exist_is_named():
    with pytest.raises(TasteError, match=r"espeak-ng -v nobody|not installed"):
        speak("hello", Voice("x", "espeak", "nobody"))


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="'siri' is unknown; use one of flite, festival, rhvoice, espeak"):
        speak("hello", Voice("x", "siri", "x"))


def test_manners_are_moderate_and_fixed_by_the_seed():
    manners = [random_manner(TEXT, random.Random(seed)) for seed in range(200)]
    assert manners[3] == random_manner(TEXT, random.Random(3))
    assert all(0.75 < m.rate < 1.3 and 0.8 < m.pitch < 1.3 for m in manners)
    assert 60 < sum(m.emphasis is not None for m in manners) < 140


def test_the_split_hangs_on_the_letters_only():
    assert split_of("What is it?") == split_of("what is it")
    shares = [split_of(f"sentence {i}") for i in range(2000)]
    assert 60 < shares.count("test") < 150
    assert 30 < shares.count("valid") < 100


def test_held_out_voices_are_no_training_voices():
    assert len(TRAIN_VOICES) >= 24
    assert len(TEST_VOICES) == 6
    used = {(v.engine, v.variant) for v in HEARD_IN_TRAINING}
    assert not used & {(v.engine, v.variant) for v in (*TEST_VOICES, *FRESH_VOICES)}


def test_no_engine_gives_a_held_out_speaker_under_another_name():
    """RHVoice's alan and flite's awb, festival's kal and flite's kal16 are the same people."""
    used = {v.variant for v in HEARD_IN_TRAINING}
    assert not used & {"alan", "awb", "kal_diphone", "kal16", "kal"}


@needs_flite
def test_recording_goes_on_where_it_stopped(tmp_path):
    wanted = utterances(["Hello there.", "Good morning.", "See you soon."], [REPLY_VOICE], 1, "x")
    first = record(wanted[:2], tmp_path)
    whole = record(wanted, tmp_path)
    assert list(whole)[:2] == list(first)
    assert [clip.text for clip in whole] == [utterance.text for utterance in wanted]


def test_paced_sentences_are_drawn_slower_and_faster_alike():
    rng = random.Random(3)
    rates = [paced_manner(TEXT, rng).rate for _ in range(2000)]
    assert 0.6 <= min(rates) < 0.63
    assert 1.45 < max(rates) <= 1.51
    assert 0.2 < np.mean([rate <= 0.8 for rate in rates]) < 0.3
    assert 0.15 < np.mean([rate >= 1.25 for rate in rates]) < 0.25
    assert len({paced_manner(TEXT, rng).emphasis for _ in range(100)}) > 3


def test_the_pace_changes_within_the_sentence_about_the_usual_one():
    rng = random.Random(3)
    manners = [changing_manner(TEXT, rng) for _ in range(2000)]
    assert {m.change_word for m in manners} == set(range(1, len(TEXT.split())))
    times = np.array([m.change_rate for m in manners])
    assert 0.5 <= times.min() < 0.52
    assert 1.95 < times.max() <= 2.0
    assert not ((times > 0.85) & (times < 1.2)).any()
    assert 0.45 < np.mean(times > 1) < 0.55
    before = np.array([m.rate for m in manners])
    assert abs(np.corrcoef(np.log(before), np.log(times))[0, 1]) > 0.9
    assert abs(np.log(before * times**0.5).mean()) < 0.05


@needs_flite
def test_the_words_after_a_change_take_as_many_times_as_long():
    clip = Clip("x", "train", TEXT, "rms", 1.0, 1.0, 0.0, None, 0, 0)
    plain, changed = (
        word_ends(list(pronunciations(TEXT.split(), "rms").values()), timed_phones(TEXT, c))
        for c in (clip, replace(clip, change_word=2, change_rate=0.6))
    )
    assert changed[1] == pytest.approx(plain[1], abs=0.02)
    assert (changed[-1] - changed[1]) / (plain[-1] - plain[1]) == pytest.approx(1 / 0.6, rel=0.08)
    assert len(speak(TEXT, REPLY_VOICE, Manner(change_word=2, change_rate=0.6))) / 16000 > 1.2 * plain[-1]


def test_sentences_at_any_pace_are_none_that_are_measured_on():
    paced = _at_other_paces("paced", 120, paced_manner, 25)
    assert {utterance.split for utterance in paced} == {"train", "valid"}
    assert len({utterance.id for utterance in paced}) == len(paced) > 100
    sentences = {utterance.text for utterance in paced}
    assert (
        not {text for text in general_sentences(CORPUS_SENTENCES, CORPUS_SEED) if split_of(text) == "test"}
        & sentences
    )
    assert not set(answers(300, 80, 150, 21)["test"]) & sentences
