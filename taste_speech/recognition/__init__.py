"""Speech recognition: the protocol and its backends."""
