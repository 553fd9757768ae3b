"""TASTE: text-aligned speech tokenization and embedding, in batch and streaming form."""
