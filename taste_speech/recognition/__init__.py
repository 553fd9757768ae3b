"""Speech recognition: the protocol, and Whisper behind it."""
