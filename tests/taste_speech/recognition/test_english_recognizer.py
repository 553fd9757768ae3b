from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import taste_agent
from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.errors import AudioError
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.pretrained.whisper import TINY_EN_FILES, tiny_en_folder
from taste_speech.processing_taste import TasteProcessor
from taste_speech.recognition import english_whisper
from taste_speech.recognition.base import Recognition
from taste_speech.recognition.english_recognizer import EnglishRecognizer, is_said, spoken_forms, timed_words
from taste_speech.recognition.english_whisper import EnglishWhisper, Transcript
from taste_speech.sound_file import SoundFile
from taste_speech.streaming import taste_tokenize
from tests.taste_speech.pretrained.packages import needs_package

RATE = 16000
QUESTION = Path(taste_agent.__file__).parent / "demo" / "question.wav"
ASKED = SoundFile(QUESTION).samples()
SAID_BEFORE_S = (1.13, 1.28, 1.4, 1.95, 2.1, 2.93)
"""When the voice that asks it ends each word."""


def transcript(no_speech=0.1, log_prob=-0.1, tokens=(1, 2)):
    log_probs = (log_prob,) * (len(tokens) + 1)
    return Transcript(tuple(tokens), log_probs, torch.rand(2, len(tokens) + 1, 50), no_speech)


def hum(seconds):
    """What is voiced."""
    return (0.3 * np.sin(2 * np.pi * 150 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


class FakeTokenizer:
    def decode(self, ids):
        return "".join({1: " It's", 2: " 25", 3: "."}[token] for token in ids)


class FakeWhisper:
    """Writes "It's 25" of everything; remembers what it was asked."""

    frame_s = 0.02
    times_s = EnglishWhisper.times_s

    def __init__(self, **options):
        self.tokenizer = FakeTokenizer()
        self.options, self.encodings, self.drafts = options, [], []

    def encode(self, samples):
        self.encodings.append(samples.size)
        return EncodedAudio(torch.zeros(1, 500, 4), torch.ones(1, 500, 4))

    def frame_count(self, n_samples):
        return n_samples // 160

    def transcribe(self, encoded, seconds, draft=()):
        self.drafts.append(tuple(draft))
        return transcript(tokens=(1, 2, 3), **self.options)


def recognizer(**options):
    fake = FakeWhisper(**options)
    made = EnglishRecognizer(lambda: fake)
    made.start()
    return made, fake


def test_words_are_those_that_were_said_and_the_text_is_kept_as_written():
    whisper, _ = recognizer()
    whisper.accept(hum(1))
    found = whisper.finish()
    assert (found.text, found.written) == ("It's twenty-five.", "It's 25.")
    assert [word.text for word in found.words] == found.text.split()
    times = [time for word in found.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= 1.0
    assert all(word.confidence == pytest.approx(np.exp(-0.1)) for word in found.words)


def test_a_murmur_is_as_certain_as_the_words_that_it_replaces(monkeypatch):
    whisper, fake = recognizer(log_prob=-2.0)
    murmur = replace(transcript(log_prob=-2.0, tokens=(1, 3)), confidence=0.6)
    monkeypatch.setattr(fake, "transcribe", lambda *_: murmur)
    whisper.accept(hum(1))
    assert [word.confidence for word in whisper.finish().words] == [0.6]


def test_the_model_runs_only_on_new_audio_and_drafts_what_it_wrote():
    whisper, fake = recognizer()
    whisper.accept(hum(0.5))
    assert whisper.partial() == "It's twenty-five."
    assert whisper.partial() == whisper.finish().text
    whisper.accept(hum(0.5))
    whisper.finish()
    assert fake.encodings == [8000, 16000]
    assert fake.drafts == [(), (1, 2, 3)]
    whisper.start()
    assert whisper.finish() == Recognition()
    whisper.accept(hum(0.5))
    whisper.finish()
    assert fake.drafts[-1] == ()


def test_what_is_not_voiced_costs_nothing():
    whisper, fake = recognizer()
    whisper.accept(np.zeros(RATE, np.float32))
    assert whisper.finish() == Recognition()
    assert fake.encodings == []


def test_long_speech_goes_in_parts():
    whisper, fake = recognizer()
    whisper.accept(hum(70))
    found = whisper.finish()
    assert sum(fake.encodings) == 70 * RATE
    assert max(fake.encodings) < 30 * RATE
    assert found.text == " ".join(["It's twenty-five."] * len(fake.encodings))
    assert found.words[-1].start_s > 40


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, True),
        ({"no_speech": 0.7}, True),
        ({"no_speech": 0.7, "log_prob": -1.5}, False),
        ({"no_speech": 0.3, "log_prob": -1.5}, True),
        ({"no_speech": 0.9}, False),
        ({"tokens": ()}, False),
    ],
)
def test_words_of_noises_are_not_believed(given, said):
    assert is_said(transcript(**given)) is said


def test_unusable_audio():
    whisper, _ = recognizer()
    for samples in (np.zeros((2, 100), np.float32), np.array([np.nan], np.float32)):
        with pytest.raises(AudioError, match="takes one channel of finite samples"):
            whisper.accept(samples)


@pytest.fixture(scope="module")
def tiny_en():
    return EnglishWhisper(tiny_en_folder())


@needs_package(TINY_EN_FILES[0])
def test_the_question_is_heard_while_it_is_asked(tiny_en):
    whisper = EnglishRecognizer(lambda: tiny_en)
    samples, _ = soundfile.read(QUESTION, dtype="float32")
    whisper.start()
    whisper.accept(samples[: 5 * RATE // 2])
    assert whisper.partial().startswith("What is the capital")
    whisper.accept(samples[5 * RATE // 2 :])
    found = whisper.finish()
    assert (found.text, found.written) == ("What is the capital of Italy?", "What is the capital of Italy?")
    ends = {word.text: word.end_s for word in found.words}
    assert 1.4 < ends["capital"] < 2.0
    assert tiny_en.encode(samples).keys.shape == (1, 500, 384)


@needs_package(TINY_EN_FILES[0])
def test_a_draft_changes_nothing(tiny_en):
    samples, _ = soundfile.read(QUESTION, dtype="float32")
    encoded = tiny_en.encode(samples).keys[0]
    plain = tiny_en.transcribe(encoded, 3.5)
    for draft in (plain.token_ids, plain.token_ids[:3], (*plain.token_ids[:2], 464, 318)):
        other = tiny_en.transcribe(encoded, 3.5, draft)
        assert other.token_ids == plain.token_ids
        torch.testing.assert_close(other.attention, plain.attention, atol=1e-4, rtol=1e-3)


@needs_package(TINY_EN_FILES[0])
def test_few_words_that_are_hardly_likelier_than_a_murmur_are_one(tiny_en, monkeypatch):
    samples, _ = soundfile.read(QUESTION, dtype="float32")
    encoded = tiny_en.encode(samples).keys[0]
    monkeypatch.setattr(english_whisper, "MURMUR_MAX_TOKENS", 100)
    plain = tiny_en.transcribe(encoded, 3.5)
    assert "capital" in tiny_en.tokenizer.decode(list(plain.token_ids))
    monkeypatch.setattr(english_whisper, "MURMUR_MARGIN", 1000.0)
    found = tiny_en.transcribe(encoded, 3.5)
    assert (
        tiny_en.tokenizer.decode(list(found.token_ids)).strip()
        in english_whisper.MURMURS + english_whisper.HESITATIONS
    )
    assert len(found.log_probs) == found.attention.shape[1] == len(found.token_ids) + 1
    assert np.mean(found.log_probs) < np.mean(plain.log_probs)
    assert found.confidence == pytest.approx(np.exp(np.mean(plain.log_probs)))


@needs_package(TINY_EN_FILES[0])
def test_noises_have_no_words(tiny_en):
    rng = np.random.default_rng(0)
    seconds = np.arange(2 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * h * seconds) / h for f in (220, 277, 330) for h in range(1, 6))
    ring = (np.sin(2 * np.pi * 440 * seconds) + np.sin(2 * np.pi * 480 * seconds)) * (seconds < 1.2)
    whisper = EnglishRecognizer(lambda: tiny_en)
    for sound in (chord, ring, rng.standard_normal(2 * RATE), seconds * 0, np.sin(2 * np.pi * 300 * seconds)):
        whisper.start()
        whisper.accept((0.1 * sound).astype(np.float32))
        assert whisper.finish() == Recognition()


def said_for(written):
    return " ".join(word for words in spoken_forms(written.split()) for word in words)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (" What is 2 plus 2?", "What is two plus two?"),
        ("It's 3:30, Mr. Lee.", "It's three thirty, Mister Lee."),
        ("It costs $5, or £1,200.", "It costs five dollars, or one thousand two hundred pounds."),
        ("In 1984, or on the 21st.", "In nineteen eighty-four, or on the twenty-first."),
        ("Half of it is 50%.", "Half of it is fifty percent."),
        ("well-known café — “quoted”…", "well-known cafe, quoted,"),
        ("Don't say 'no', it’s rock 'n' roll", "Don't say no, it's rock n roll"),
        ("Mm-hmm. Uh-huh. Hmm, OK. Umm...", "Mhm. Uh huh. Hm, Okay. Um,"),
        ("", ""),
        ("... - !", ""),
    ],
)
def test_what_is_written_becomes_what_is_said(written, said):
    assert said_for(written) == said


def test_words_stay_with_the_written_word_that_they_come_from():
    assert spoken_forms(["It's", "25", "--", "now."]) == [["It's"], ["twenty-five,"], [], ["now."]]


def test_words_without_figures_stay_as_they_are_written():
    for sentence in ("Well, I'm not sure.", "What's the capital of Côte d'Or?", "it is twelve o'clock"):
        assert said_for(sentence) == sentence.replace("ô", "o")


def test_words_have_the_times_at_which_they_are_said():
    words = timed_words(
        english_whisper.tiny_en(), ASKED, ["What", "is", "the", "-", "capital", "of", "Italy?"]
    )
    assert [word.text for word in words] == ["What", "is", "the", "-", "capital", "of", "Italy?"]
    assert words[3].start_s is None
    timed = [word for word in words if word.start_s is not None]
    late_s = np.abs([word.end_s for word in timed] - np.array(SAID_BEFORE_S))
    assert np.median(late_s) < 0.15
    assert late_s.max() < 0.4
    assert all(left.end_s <= right.start_s < right.end_s for left, right in pairwise(timed))


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (ASKED, "the old library"),
        (ASKED[:3000], "what is the capital of italy"),
        (ASKED, "- ?"),
    ],
)
def test_words_that_cannot_be_found_have_no_times(samples, text):
    assert [word.start_s for word in timed_words(english_whisper.tiny_en(), samples, text.split())] == [
        None
    ] * len(text.split())


def test_the_audio_tower_can_take_what_was_encoded_last():
    whisper, _ = recognizer()
    samples = hum(1.0)
    whisper.start()
    whisper.accept(samples)
    whisper.finish()
    encoded = whisper.encoded(samples, 0)
    assert encoded.keys.shape == encoded.values.shape == (1, 50, 4)
    assert whisper.encoded(samples, 1) is None  # the values are those of another layer
    assert whisper.encoded(samples[:-1], 0) is None
    assert whisper.encoded(-samples, 0) is None


@needs_package(TINY_EN_FILES[0])
def test_words_have_the_taste_that_the_audio_tower_hears_without_the_recognizer(tiny_en):
    model, processor = TasteForCausalLM.from_pretrained("small"), TasteProcessor.from_pretrained("small")
    whisper = EnglishRecognizer(lambda: tiny_en)
    samples, _ = soundfile.read(QUESTION, dtype="float32")
    whisper.start()
    whisper.accept(samples)
    ids = processor.process_text(whisper.finish().text)["llm_token_ids"]
    encoded = whisper.encoded(samples, model.audio_tower.joint.target_hidden_layer)
    assert encoded is not None
    own = model.audio_tower.encode(**_features(processor, samples))
    assert own.keys.shape == encoded.keys.shape
    torch.testing.assert_close(encoded.values, own.values)
    shared, alone = (
        taste_tokenize(model, processor, torch.from_numpy(samples)[None], ids, encoded=each)
        for each in (encoded, None)
    )
    # The recognizer multiplies in int8, so that a code may be the next one; the first level is the coarsest.
    assert (shared[..., 0] == alone[..., 0]).float().mean() > 0.6


def _features(processor, samples):
    fields = processor.audio_fields(samples)
    return {"features": fields["audio_features"], "n_frames": fields["audio_feature_lengths"]}
