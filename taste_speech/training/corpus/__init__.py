"""The training corpus: text written for this project, voices that say it, and augmentation."""
