"""Installing a distribution for a test: files and a record, as pip leaves them."""

from pathlib import Path

import pytest

from taste_speech.pretrained.packaged import PackagedFile, file_sha256


def install(site: Path, content: bytes, name: str = "some-weights") -> PackagedFile:
    """Put a distribution of one file into `site`, which is to be on `sys.path`."""
    module = name.replace("-", "_")
    path = site / module / "model.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (site / module / "__init__.py").write_text("raise RuntimeError('a package of weights was imported')\n")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{module}/__init__.py,,\n{module}/model.bin,,\n")
    return PackagedFile(
        name, "1.0", f"{module}/model.bin", file_sha256(path), "somebody/weights", "model.bin", "--no-deps"
    )


def needs_package(file: PackagedFile) -> pytest.MarkDecorator:
    """Skips a test where the package is not installed; the reason says what to run."""
    return pytest.mark.skipif(file.installed() is None, reason=f"run: {file.pip_command}")
