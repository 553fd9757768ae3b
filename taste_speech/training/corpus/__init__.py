"""The training corpus: text written for this project, and voices that say it."""
