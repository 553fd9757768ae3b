"""The stages of a checkpoint's training, one file each."""
