"""Measuring a checkpoint: intelligibility, prosody, answers and speed on held-out voices and sentences."""
