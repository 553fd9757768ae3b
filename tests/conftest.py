"""Fixtures for all tests: tiny random checkpoints, and the golden cases.

Models are shared between tests: do not change their weights (`copy.deepcopy` one where a test must).
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Tiny matrices: more threads cost more than they give, and results stay the same on every machine.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete random checkpoint of about a million parameters."""
    from tests.tiny import save_tiny_checkpoint

    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path) -> Any:
    """`TasteForCausalLM` of the tiny checkpoint."""
    from taste_speech import TasteForCausalLM

    return TasteForCausalLM.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="session")
def tiny_processor(tiny_checkpoint: Path) -> Any:
    """`TasteProcessor` of the tiny checkpoint; its fixed voices are "ada" and "ben"."""
    from taste_speech import TasteProcessor

    return TasteProcessor.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="session")
def tiny_phones_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete random checkpoint whose words and units are phones."""
    from tests.tiny import save_tiny_phones_checkpoint

    return save_tiny_phones_checkpoint(tmp_path_factory.mktemp("phones"))


@pytest.fixture(scope="session")
def tiny_phones_model(tiny_phones_checkpoint: Path) -> Any:
    """`TasteForCausalLM` of the tiny checkpoint of phones."""
    from taste_speech import TasteForCausalLM

    return TasteForCausalLM.from_pretrained(tiny_phones_checkpoint)


@pytest.fixture(scope="session")
def tiny_phones_processor(tiny_phones_checkpoint: Path) -> Any:
    """`TasteProcessor` of the tiny checkpoint of phones."""
    from taste_speech import TasteProcessor

    return TasteProcessor.from_pretrained(tiny_phones_checkpoint)


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Inputs and outputs of the public reference implementation; see tests/golden/README.md."""
    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="session")
def golden_model() -> Any:
    """The model that the golden cases were made with: weights that are a function of their names."""
    from taste_speech import TasteConfig, TasteForCausalLM
    from tests.golden.seeded_weights import seeded_state

    return TasteForCausalLM.from_state_dict(TasteConfig.from_pretrained(GOLDEN), seeded_state("model"))
