"""Pretrained models that checkpoints build on, converted once from files of installed packages."""
