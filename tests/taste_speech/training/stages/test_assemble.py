import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from taste_speech.training import model_card
from taste_speech.training.config import StageContext
from taste_speech.training.stages import assemble, mind
from taste_speech.vocoder.voice_generator import VoiceGenerator


@pytest.fixture
def begun(tmp_path, tiny_model, tiny_checkpoint):
    """A run from the tiny checkpoint that has trained nothing but a mind."""
    context = StageContext(tmp_path / "tiny", tiny_model.config, tiny_checkpoint)
    lm = tiny_model.spoken_lm.state_dict()
    trained = {name: torch.ones_like(value) for name, value in lm.items() if mind.is_ours(name)}
    save_file(trained, context.folder("mind") / "spoken_lm.safetensors")
    return context


def test_what_no_stage_has_trained_is_that_of_the_start(begun, tiny_model, tiny_checkpoint):
    assemble.run(assemble.Settings(voices={"ada": "ada"}), begun)
    made = begun.folder("assemble") / "tiny"
    written = {k: v for path in made.glob("model*.safetensors") for k, v in load_file(path).items()}
    given = {k: v for path in tiny_checkpoint.glob("model*.safetensors") for k, v in load_file(path).items()}
    kept = [name for name in given if name.startswith(("audio_tower.", "speech_decoder."))]
    assert {name for name in written if not name.startswith("spoken_lm.")} >= set(kept)
    assert all(torch.allclose(written[name].float(), given[name].float(), atol=1e-2) for name in kept)
    fused = [name for name in written if name.startswith("spoken_lm.") and "pad" in name]
    assert fused
    assert all(bool((written[name] == 1).all()) for name in fused)
    voice = begun.config.voice_generator
    ours, theirs = (
        VoiceGenerator.from_pretrained(path, voice).state_dict() for path in (made, tiny_checkpoint)
    )
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-2) for name in theirs)
    assert model_card._START in (made / "README.md").read_text()


def test_a_mind_that_no_stage_has_trained_is_that_of_the_start(begun, tiny_checkpoint):
    shutil.rmtree(begun.folder("mind"))
    assemble.run(assemble.Settings(voices={"ada": "ada"}), begun)
    made = begun.folder("assemble") / "tiny"
    written, given = (
        {k: v for path in folder.glob("model*.safetensors") for k, v in load_file(path).items()}
        for folder in (made, tiny_checkpoint)
    )
    assert written.keys() == given.keys()
    minds = [name for name in given if name.startswith("spoken_lm.")]
    assert minds
    assert all(torch.allclose(written[name].float(), given[name].float(), atol=1e-2) for name in minds)


def test_what_stages_have_trained_is_in_the_checkpoint(tiny_phones_model, tiny_phones_checkpoint, tmp_path):
    context = StageContext(tmp_path / "tiny", tiny_phones_model.config, tiny_phones_checkpoint)
    tower = tiny_phones_model.audio_tower.state_dict()
    # As stage `taste` writes it: without the pretrained encoder.
    tower = {name: torch.full_like(v, 0.5) for name, v in tower.items() if not name.startswith("encoder.")}
    decoder = {
        name: torch.full_like(value, 0.25)
        for name, value in tiny_phones_model.speech_decoder.state_dict().items()
    }
    save_file(tower, context.folder("taste") / "audio_tower.safetensors")
    save_file(decoder, context.folder("taste") / "speech_decoder.safetensors")
    generator = VoiceGenerator(context.config.voice_generator)
    new = {name: torch.full_like(value, 0.125) for name, value in generator.flow.state_dict().items()}
    save_file(new, context.folder("flow") / "flow.safetensors")
    assemble.run(assemble.Settings(voices={"ada": "ada"}), context)
    made = context.folder("assemble") / "tiny"
    assert not (made / "asr").exists()
    assert not (made / "units").exists()
    written = {k: v for path in made.glob("model*.safetensors") for k, v in load_file(path).items()}
    for prefix, value in (("audio_tower.", 0.5), ("speech_decoder.", 0.25)):
        own = [t for name, t in written.items() if name.startswith(prefix) and "initted" not in name]
        assert own
        assert all(bool((tensor == value).all()) for tensor in own)
    voice = VoiceGenerator.from_pretrained(made, context.config.voice_generator)
    assert all(bool((value == 0.125).all()) for value in voice.flow.state_dict().values())
    given = VoiceGenerator.from_pretrained(tiny_phones_checkpoint, context.config.voice_generator)
    kept = given.hift.state_dict()
    assert all(torch.allclose(v, kept[name], atol=1e-2) for name, v in voice.hift.state_dict().items())


def test_a_part_that_was_written_and_then_trained_on_is_taken_as_it_is_now(begun):
    folder = begun.folder("mind")
    lm = {f"lm.{name}": value + 1 for name, value in load_file(folder / "spoken_lm.safetensors").items()}
    torch.save({"module": lm}, folder / "state.pt")
    os.utime(folder / "state.pt", (2e9, 2e9))
    parts = assemble.Parts(begun)
    found = parts.weights("mind", "spoken_lm", "lm.")
    assert parts.provisional == ["spoken_lm"]
    assert all(bool((value == 2).all()) for value in found.values())
    os.utime(folder / "spoken_lm.safetensors", (2.1e9, 2.1e9))
    assert all(bool((value == 1).all()) for value in parts.weights("mind", "spoken_lm", "lm.").values())
