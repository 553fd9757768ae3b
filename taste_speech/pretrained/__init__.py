"""Models of others that a checkpoint builds on: found in installed packages, converted once, then mapped."""
