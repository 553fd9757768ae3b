"""Whether festival can speak here: it takes a missing voice for no error."""

import shutil
import subprocess

import pytest

_LIST = ["festival", "-b", "(print (voice.list))"]
HAS_KED = shutil.which("text2wave") is not None and (
    "ked_diphone" in subprocess.run(_LIST, capture_output=True, text=True, check=False).stdout
)
needs_ked = pytest.mark.skipif(not HAS_KED, reason="festival or its voice ked is not installed")
