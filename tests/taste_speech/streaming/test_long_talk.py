"""A thousand turns with interruptions at random: nothing may pile up. Only in `make soak`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.long_talk import LOOK_EVERY, Usage

TURNS, WARM_UP, WINDOW = 1000, 250, 400
MOST_TRACED_KIB, MOST_RESIDENT_KIB = 256, 16 * 1024
"""A leak of one reply's sound a turn, some 50 KiB, would come to 37 MiB. What is allowed goes to the two
tokenizers, which remember up to 10,000 words each, about 0.7 KiB a word."""
# oneDNN keeps what it has compiled for each length that it has met, up to 1024 of them: bounded, but not full
# before the end. With room for few it is full early, and what is left is ours.
ENVIRONMENT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32", "OMP_NUM_THREADS": "1"}


@pytest.mark.soak
@pytest.mark.parametrize("checkpoint", ["tiny", "small"])
def test_a_thousand_turns_leave_nothing_behind(
    checkpoint: str, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(tiny_checkpoint) if checkpoint == "tiny" else checkpoint
    command = [sys.executable, "-W", "ignore", "-m", "tests.long_talk", name, str(TURNS), str(WINDOW)]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command, env=os.environ | ENVIRONMENT, cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    found = [Usage(*values) for values in json.loads(done.stdout)]
    assert len(found) == TURNS // LOOK_EVERY
    settled = found[: WARM_UP // LOOK_EVERY]
    rest, last = found[len(settled) :], found[-len(settled) :]
    traced, resident = (
        max(use[field] for use in last) - max(use[field] for use in settled) for field in (0, 1)
    )
    with capsys.disabled():
        sys.stdout.write(
            f"\n{checkpoint}: {TURNS} turns; from the first {WARM_UP} to the last {WARM_UP}, Python objects "
            f"{traced:+.0f} KiB, process {resident:+.0f} KiB of {last[-1].resident_kib:.0f}; "
            f"threads {settled[-1].threads} and {last[-1].threads}; "
            f"at most {max(use.rows for use in found)} rows\n"
        )
    assert traced <= MOST_TRACED_KIB
    assert resident <= MOST_RESIDENT_KIB
    assert {use.threads for use in rest} == {settled[-1].threads}
    assert max(use.rows for use in settled) > WINDOW / 2
    assert max(use.rows for use in found) < WINDOW + 100
