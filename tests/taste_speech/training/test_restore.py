import copy
import json
import shutil

import torch

from taste_speech.recognition.acoustic import AcousticConfig, AcousticModel, save_acoustic_model
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.training.config import StageContext
from taste_speech.training.initial import INITIAL_NAME, load_initial
from taste_speech.training.restore import write_initial
from taste_speech.training.stages.tower import recogniser
from taste_speech.training.taste_autoencoder import TasteAutoencoder
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.hift import HiFT


def test_every_stage_begins_with_its_part_of_the_checkpoint(tmp_path, tiny_checkpoint, tiny_model):
    config = tiny_model.config
    context = StageContext(tmp_path, config)
    written = write_initial(tiny_checkpoint, context)
    assert {path.parent.name for path in written if path.name == INITIAL_NAME} == {
        "vocoder",
        "flow",
        "spoken_lm",
        "autoencoder",
    }
    assert (context.folder("tokenizers") / "asr" / "tokenizer.json").exists()

    autoencoder = TasteAutoencoder(config, [(0, 0)])
    assert load_initial(context.folder("autoencoder"), autoencoder)
    assert bool(autoencoder.has_tower)
    assert bool(autoencoder.is_final)
    given = tiny_model.audio_tower.state_dict()
    assert all(torch.equal(given[name], value) for name, value in autoencoder.tower.state_dict().items())

    voice = config.voice_generator
    for stage, module in (("vocoder", HiFT(voice)), ("flow", Flow(voice))):
        assert load_initial(context.folder(stage), module)


def test_new_taste_tokens_begin_with_the_encoder_and_no_quantizer(tmp_path, tiny_checkpoint, tiny_model):
    context = StageContext(tmp_path, tiny_model.config)
    write_initial(tiny_checkpoint, context, new_taste=True)
    autoencoder = TasteAutoencoder(tiny_model.config, [(0, 0)])
    before = {name: value.clone() for name, value in autoencoder.tower.state_dict().items()}
    load_initial(context.folder("autoencoder"), autoencoder)
    assert not bool(autoencoder.has_tower)
    assert not bool(autoencoder.is_final)
    assert all(torch.equal(before[name], value) for name, value in autoencoder.tower.state_dict().items())
    learner = recogniser(context)
    given = load_initial(context.folder("tower"), learner)
    assert given == {f"encoder.{name}" for name in tiny_model.audio_tower.encoder.state_dict()}
    torch.testing.assert_close(learner.encoder.conv1.weight, tiny_model.audio_tower.encoder.conv1.weight)


def test_units_that_nobody_knows_are_learned_anew(tmp_path, tiny_checkpoint, tiny_model):
    """The tiny checkpoint does not say what its units stand for."""
    context = StageContext(tmp_path, tiny_model.config)
    write_initial(tiny_checkpoint, context)
    autoencoder = TasteAutoencoder(tiny_model.config, [(0, 0)])
    before = autoencoder.decoder.speech_embedding.weight.clone()
    load_initial(context.folder("autoencoder"), autoencoder)
    assert torch.equal(autoencoder.decoder.speech_embedding.weight, before)


def test_the_acoustic_model_is_taken_over_where_there_is_one(tmp_path, tiny_checkpoint, tiny_model):
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    sizes = {"d_model": 16, "layers": 1, "heads": 2, "ffn_dim": 16}
    config["recognition"] |= {"acoustic_model": "acoustic.safetensors", "acoustic": sizes}
    (folder / "config.json").write_text(json.dumps(config))
    bins = tiny_model.config.tower.num_mel_bins
    model = AcousticModel(AcousticConfig(**sizes), bins)
    save_acoustic_model(model.state_dict(), folder / "acoustic.safetensors")
    context = StageContext(tmp_path / "run", tiny_model.config)
    assert any(path.parent.name == "phones" for path in write_initial(folder, context))
    taken = AcousticModel(AcousticConfig(**sizes), bins)
    assert load_initial(context.folder("phones"), taken)
    torch.testing.assert_close(taken.conv1.weight, model.conv1.weight, atol=5e-3, rtol=0.02)


def test_a_run_with_fewer_heads_of_keys_begins_with_their_means(tmp_path, tiny_checkpoint, tiny_model):
    config = copy.deepcopy(tiny_model.config)
    before = config.text_config.num_key_value_heads
    config.text_config.num_key_value_heads = 1
    context = StageContext(tmp_path, config)
    write_initial(tiny_checkpoint, context)
    learner = torch.nn.ModuleDict({"lm": SpokenLM(config)})
    given = load_initial(context.folder("spoken_lm"), learner)
    assert {name for name in learner.state_dict() if "k_proj" in name} <= given
    heads = tiny_model.spoken_lm.language_model.model.layers[0].self_attn.k_proj.weight.unflatten(
        0, (before, -1)
    )
    taken = learner["lm"].language_model.model.layers[0].self_attn.k_proj.weight
    assert before > 1
    torch.testing.assert_close(taken, heads.float().mean(0), atol=1e-3, rtol=1e-2)
