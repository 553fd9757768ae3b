"""Stage 2 except its schedule: talks as rows of the spoken LM, their losses, and faster training on a CPU."""
