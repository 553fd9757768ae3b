"""Decisions about turns: pure state machines over frames, samples and probabilities."""
