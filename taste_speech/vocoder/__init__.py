"""Speech units -> mel frames -> waveform."""
