"""taste-agent: a full-duplex voice agent for the terminal."""

__version__ = "0.1.0"
