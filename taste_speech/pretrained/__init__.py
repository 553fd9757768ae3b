"""Models by others that a checkpoint builds on, converted once from files of installed packages."""
