"""Audio of the agent: ports, files, devices, echo cancellation, playback."""
