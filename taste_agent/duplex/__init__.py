"""Turn-taking of an agent, measured by the definitions of Full-Duplex-Bench v1 and v1.5."""
