"""Audio of the agent: ports, devices, echo cancellation, playback."""
