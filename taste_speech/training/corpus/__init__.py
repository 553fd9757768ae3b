"""The training corpus: text written for this project, speech from flite and espeak-ng, and augmentation."""
