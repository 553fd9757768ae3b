"""How an agent takes turns, measured by the definitions of Full-Duplex-Bench v1 and v1.5."""
