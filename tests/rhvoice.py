"""Whether RHVoice can speak here."""

import shutil
from pathlib import Path

import pytest

from taste_speech.training.corpus.speech import rhvoice_folders

HAS_RHVOICE = shutil.which("RHVoice-test") is not None and any(
    Path(folder, "bdl").is_dir() for folder in rhvoice_folders()
)
needs_rhvoice = pytest.mark.skipif(not HAS_RHVOICE, reason="RHVoice or its voice bdl is not installed")
