"""Stage 1 except its schedule: speech of known text -> one taste token per word -> speech units."""
