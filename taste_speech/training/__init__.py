"""Training of TASTE checkpoints: corpus, stages, evaluation. Never imported at run time."""
