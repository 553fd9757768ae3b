import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoProcessor

from taste_speech import AudioError, CheckpointError, TasteConfig, TasteProcessor, TextError, checkpoint_files
from taste_speech.checkpoint_files import asr_model_name
from taste_speech.phones import begins_word, marked_phones
from taste_speech.recognition.base import Recognition
from taste_speech.words import PhoneTokenizer

DATA = Path(__file__).parent / "data"
RATE = 16000
TEXT = "what time is it in the city?"


def speech(seconds=1.0, rate=RATE, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate)).astype(np.float32)


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    """A checkpoint folder without weights that a test may change."""
    shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint", ignore=shutil.ignore_patterns("model*"))
    return tmp_path / "checkpoint"


def test_all_fields(tiny_processor):
    inputs = tiny_processor(speech(), RATE, ref_audio_list=["ada"], text=TEXT, output_text_info=True)
    assert inputs["words"] == [["what", "time", "is", "it", "in", "the", "city?"]]
    assert inputs["text"] == [TEXT]
    assert inputs["speaker_embeds"].shape == (1, 16)
    assert inputs["audio_features"].shape == (1, 100, 40)
    assert inputs["audio_feature_lengths"].tolist() == [100]
    for kind, tokenizer in (("asr", tiny_processor.audio_tokenizer), ("llm", tiny_processor.llm_tokenizer)):
        ids, word_ids = inputs[f"{kind}_token_ids"], inputs[f"{kind}_word_ids"]
        assert ids.dtype == torch.int64
        assert word_ids.dtype == torch.int32
        assert inputs[f"{kind}_token_lengths"].tolist() == [ids.shape[1]]
        for index, word in enumerate(inputs["words"][0]):
            assert tokenizer.decode(ids[word_ids == index].tolist()) == f" {word}"
    assert "speech_token_ids" not in inputs


def test_model_takes_what_the_processor_gives(tiny_processor, tiny_model):
    inputs = tiny_processor(speech(), RATE, ref_audio_list=["ada"], text=TEXT)
    asr_indices, llm_indices = tiny_model.extract_vq(**inputs)
    starts = torch.tensor([[True, *(inputs["llm_word_ids"][0].diff() == 1).tolist()]])
    assert torch.equal(llm_indices[..., 0] >= 0, starts)
    assert asr_indices.shape[:2] == inputs["asr_token_ids"].shape


def test_given_text_is_honoured_without_a_recognizer(tiny_processor, monkeypatch):
    monkeypatch.setattr(tiny_processor, "recognizer", lambda: pytest.fail("recognizer used"))
    assert tiny_processor(speech(), RATE, text=["so", "it", "is"])["llm_word_ids"].max() == 2


class FakeRecognizer:
    def __init__(self, text):
        self.text, self.samples = text, 0

    def start(self):
        self.samples = 0

    def accept(self, samples):
        self.samples += samples.size

    def partial(self):
        return ""

    def finish(self):
        return Recognition(self.text)


def test_audio_without_text_is_recognized(folder, monkeypatch):
    processor, fake = TasteProcessor.from_pretrained(folder), FakeRecognizer("half past nine")
    monkeypatch.setattr(processor, "recognizer", lambda: fake)
    inputs = processor(speech(rate=48000), 48000, output_text_info=True)
    assert inputs["text"] == ["half past nine"]
    assert fake.samples == RATE
    fake.text = " "
    with pytest.raises(TextError, match="heard no words in the audio; give text="):
        processor(speech(), RATE)


def test_references_from_file_and_array_are_averaged(folder, tmp_path):
    (folder / "cosyvoice").mkdir()
    shutil.copy(DATA / "speaker_embed.onnx", folder / "cosyvoice")
    soundfile.write(tmp_path / "a.flac", speech(seed=1), RATE)
    processor = TasteProcessor.from_pretrained(folder)
    embeds = processor(speech(), RATE, ref_audio_list=[tmp_path / "a.flac", speech(seed=2)], text="yes")
    assert embeds["speaker_embeds"].shape == (1, 80)
    assert embeds["speaker_embeds"].norm().item() == pytest.approx(1)
    path = str(tmp_path / "a.flac")
    assert torch.equal(processor.speaker_embedding(path), processor.speaker_embedding(path))


def test_a_recording_as_voice_needs_a_network_that_the_checkpoint_may_lack(folder):
    with pytest.raises(CheckpointError, match=r"fixed voices only; .*; choose from ada, ben"):
        TasteProcessor.from_pretrained(folder).speaker_embedding(speech(seed=1))


def test_speech_tokens_on_request(folder):
    (folder / "cosyvoice").mkdir()
    shutil.copy(DATA / "speech_tokenizer_v1.onnx", folder / "cosyvoice")
    processor = TasteProcessor.from_pretrained(folder)
    inputs = processor(speech(), RATE, text="yes", extract_speech_tokens=True)
    assert inputs["speech_token_ids"].shape == (1, 100)
    assert inputs["speech_token_lengths"].tolist() == [100]


def test_voices(tiny_processor):
    assert sorted(tiny_processor.voices()) == ["ada", "ben"]
    assert not torch.equal(tiny_processor.speaker_embedding("ada"), tiny_processor.speaker_embedding("ben"))


def test_ids_of_text_align_with_its_words(tiny_processor):
    fields = tiny_processor.process_text(TEXT)
    aligned = tiny_processor.align_text_ids(fields["llm_token_ids"])
    assert all(torch.equal(aligned[name], fields[name]) for name in fields)


def test_voice_generator_is_loaded_once(tiny_processor):
    generator = tiny_processor.get_generator("cpu")
    assert generator is tiny_processor.get_generator(torch.device("cpu"))
    assert generator is tiny_processor.get_generator("cpu:0")
    assert not generator.training


def test_damaged_and_missing_voice_generator(folder):
    (folder / "voice_generator.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"cannot read .*voice_generator.*fetch the file again"):
        TasteProcessor.from_pretrained(folder).get_generator()
    (folder / "voice_generator.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"has none of voice_generator\.safetensors, .*fetch one of them"
    ):
        TasteProcessor.from_pretrained(folder).get_generator()


def test_published_voice_generator_file(folder, tiny_processor):
    (folder / "voice_generator.safetensors").unlink()
    (folder / "cosyvoice").mkdir()
    state = tiny_processor.get_generator().state_dict()
    torch.save(state, folder / "cosyvoice" / "voice_generator.pth")
    loaded = TasteProcessor.from_pretrained(folder).get_generator().state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_saved_processor_loads(tiny_processor, tmp_path):
    tiny_processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(again, TasteProcessor)
    assert not list(tmp_path.glob("model*"))
    assert again.config.to_dict() == tiny_processor.config.to_dict()
    fields, expected = again.process_text(TEXT), tiny_processor.process_text(TEXT)
    assert all(torch.equal(fields[name], expected[name]) for name in expected)
    assert torch.equal(again.speaker_embedding("ben"), tiny_processor.speaker_embedding("ben"))
    assert again.get_generator() is not None


def test_phones_need_no_tokenizer_of_the_checkpoint(tiny_phones_processor, tmp_path):
    tiny_phones_processor.save_pretrained(tmp_path)
    assert not (tmp_path / "asr").exists()
    again = TasteProcessor.from_pretrained(tmp_path)
    assert isinstance(again.audio_tokenizer, PhoneTokenizer)
    fields, expected = (
        again.process_text("The owl, at 9?"),
        tiny_phones_processor.process_text("The owl, at 9?"),
    )
    assert all(torch.equal(fields[name], expected[name]) for name in expected)
    asr = fields["asr_token_ids"][0]
    assert asr.tolist() == [phone for word in ("ði", "ˈWl,", "æt", "nˈIn?") for phone in marked_phones(word)]
    assert int(begins_word(asr).sum()) == int(fields["asr_word_ids"].max()) + 1 == 4


def test_phones_of_words_are_those_that_the_words_before_ask_for(tiny_phones_processor):
    whole = tiny_phones_processor.asr_tokens(["I", "live", "at", "9"])
    later = tiny_phones_processor.asr_tokens(["live", "at", "9"], ["I"])
    start = whole.word_ids.index(1)
    assert later.token_ids == whole.token_ids[start:]
    assert later.word_ids == [word - 1 for word in whole.word_ids[start:]]
    verb, noun = (tiny_phones_processor.asr_tokens(["live"], before).token_ids for before in (["I"], []))
    assert verb != noun


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_saving_within_its_own_folder_copies_nothing_twice(folder, tmp_path):
    TasteProcessor.from_pretrained(folder).save_pretrained(tmp_path / "beside")
    for _ in range(2):
        TasteProcessor.from_pretrained(folder).save_pretrained(folder / "best" / "copy")
        assert names(folder / "best" / "copy") == names(tmp_path / "beside")
    TasteProcessor.from_pretrained(folder / "best" / "copy").save_pretrained(folder / "best")
    assert names(folder / "best")[-1] == "voices.safetensors"


def test_saving_keeps_a_config_that_is_there(tiny_processor, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    tiny_processor.save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.zeros((2, RATE)), RATE, r"audio has shape \(2, 16000\); expected one channel"),
        (np.full(RATE, np.nan), RATE, "audio has 16000 NaN or infinite samples"),
        (np.full(RATE, np.inf), RATE, "audio has 16000 NaN or infinite samples"),
        (np.zeros(0), RATE, "audio is empty"),
        (np.zeros(31 * RATE), RATE, r"audio lasts 31\.00 s; at most 30 s are allowed; split it"),
        (np.zeros(RATE), 100, "sampling rate 100 Hz; expected a whole number"),
    ],
)
def test_refuses_unusable_audio(tiny_processor, audio, rate, message):
    with pytest.raises(AudioError, match=message):
        tiny_processor(audio, rate, text="yes")


@pytest.mark.parametrize("text", ["", "  ", []])
def test_refuses_empty_text(tiny_processor, text):
    with pytest.raises(TextError, match="the text is empty"):
        tiny_processor(speech(), RATE, text=text)


def test_refuses_an_empty_list_of_references(tiny_processor):
    with pytest.raises(AudioError, match=r"no reference audio; give at least one path.*: ada, ben"):
        tiny_processor(speech(), RATE, ref_audio_list=[], text="yes")


@pytest.mark.parametrize("text", ["... !", "😀 sun", "日本", "word"])
def test_unusual_text_has_a_taste_token_for_each_word(tiny_processor, tiny_model, text):
    _, indices = tiny_model.extract_vq(**tiny_processor(speech(), RATE, text=text))
    assert int((indices[0, :, 0] >= 0).sum()) == len(text.split())


def test_silence_is_valid(tiny_processor, tiny_model):
    _, indices = tiny_model.extract_vq(**tiny_processor(np.zeros(RATE), RATE, text="yes"))
    assert (indices[0, 0] >= 0).all()


def test_five_hundred_words_do_not_fit_one_utterance(tiny_processor, tiny_model):
    inputs = tiny_processor(speech(), RATE, text=["so"] * 500)
    with pytest.raises(TextError, match="the text has 1000 ASR tokens; expected 1 to 443; split it"):
        tiny_model.extract_vq(**inputs)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/data/models/whisper-large-v3", "openai/whisper-large-v3"),
        ("/models/distil-large-v3/", "distil-whisper/distil-large-v3"),
        ("./whisper-tiny", "openai/whisper-tiny"),
        ("openai/whisper-small", "openai/whisper-small"),
        ("", "openai/whisper-large-v3"),
        ("/some/model", "openai/whisper-large-v3"),
    ],
)
def test_asr_model_of_a_training_machine(name, expected):
    assert asr_model_name(TasteConfig(asr_config={"_name_or_path": name})) == expected


def test_asr_model_folder_that_exists(tmp_path):
    assert asr_model_name(TasteConfig(asr_config={"_name_or_path": str(tmp_path)})) == str(tmp_path)


def test_missing_parts_name_the_file(folder):
    shutil.rmtree(folder / "llama_tokenizer")
    with pytest.raises(CheckpointError, match=r"has no file llama_tokenizer/tokenizer\.json; fetch it into"):
        TasteProcessor.from_pretrained(folder).process_text("yes")
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not a TASTE configuration"):
        TasteProcessor.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no file config\.json"):
        TasteProcessor.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="no checkpoint 'huge'"):
        TasteProcessor.from_pretrained("huge")


@pytest.mark.parametrize("content", ["{", "{}", "", '{"model": 3}'])
def test_damaged_tokenizer(folder, content):
    (folder / "asr" / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"cannot load the tokenizer '.*asr'"):
        TasteProcessor.from_pretrained(folder).process_text("yes")


def test_a_checkpoint_on_a_pretrained_model_has_that_models_tokenizer(tiny_checkpoint, tmp_path, monkeypatch):
    folder, given = tmp_path / "own", tmp_path / "given"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "llama_tokenizer").rename(given)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained"] = {"language_model": "smollm2-135m-instruct"}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(checkpoint_files, "smollm2_folder", lambda: given)
    processor = TasteProcessor.from_pretrained(folder)
    assert processor.llm_tokenizer.name_or_path == str(given)
