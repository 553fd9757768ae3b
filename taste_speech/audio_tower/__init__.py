"""Audio tower: log-mel features and words -> one taste token per word."""
