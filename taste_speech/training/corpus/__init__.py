"""The training corpus: voices that speak texts, and what they have said; `dialogues` holds talks in text."""
