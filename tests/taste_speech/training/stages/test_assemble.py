import copy
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

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
    save_file({"mel_mean": torch.zeros(4)}, context.folder("units") / "quantizer.safetensors")
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
    assert "Its voice is made by `configs/train/voice.yaml`" in (made / "README.md").read_text()


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


def test_a_new_flow_keeps_the_timer_of_the_start_until_there_is_another(begun, tiny_checkpoint, tmp_path):
    config = copy.deepcopy(begun.config)
    config.voice_generator.flow.phones = True
    start = shutil.copytree(tiny_checkpoint, tmp_path / "start")
    config.save_pretrained(start)
    generator = VoiceGenerator(config.voice_generator)
    timer = generator.phone_timer
    torch.nn.init.constant_(timer.embedding.begins_word, 1.0)
    generator.save_pretrained(start)
    context = StageContext(begun.root, config, start)
    for stage, name, part in (("flow", "flow", generator.flow), ("vocoder", "hift", generator.hift)):
        save_file(part.state_dict(), context.folder(stage) / f"{name}.safetensors")
    for wanted in (1.0, 2.0):
        assemble.run(assemble.Settings(voices={"ada": "ada"}), context)
        made = VoiceGenerator.from_pretrained(context.folder("assemble") / "tiny", config.voice_generator)
        assert bool((made.phone_timer.embedding.begins_word == wanted).all())
        torch.nn.init.constant_(timer.embedding.begins_word, 2.0)
        save_file(timer.state_dict(), context.folder("phone_timer") / "phone_timer.safetensors")


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
