import pytest

from taste_agent.config.sources import load_settings
from taste_agent.dialog.brain_loader import check_names
from taste_speech.errors import TasteError


def check(*overrides):
    check_names(load_settings(overrides=overrides, environment={}).settings)


def test_what_there_is_passes(tmp_path):
    (tmp_path / "me.wav").write_bytes(b"")
    check()
    check("dialog.voice=heart")
    check(f"dialog.voice={tmp_path / 'me.wav'}")
    check("model.checkpoint=owner/name", "dialog.voice=somebody")  # not here yet


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model.checkpoint=smal", "no checkpoint 'smal'"),
        ("dialog.voice=nobody", "no voice and no audio file 'nobody'; voices of this checkpoint: heart"),
        ("dialog.voice=nothere.wav", "nothere.wav"),
    ],
)
def test_wrong_names_are_told_before_anything_is_loaded(setting, told):
    with pytest.raises(TasteError, match=told):
        check(setting)
