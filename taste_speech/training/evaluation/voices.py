"""The speakers of the questions: in no training, and in no test that was looked at while tuning."""

from taste_speech.training.corpus.speech import Voice

FRESH_VOICES = (
    Voice("awb-large", "flite", "awb", pitch=0.9, formants=0.93),
    Voice("kal16-fast", "flite", "kal16", rate=1.12, pitch=1.1, formants=1.06),
    Voice("espeak-en-us+Alicia", "espeak", "en-us+Alicia"),
    Voice("espeak-en-us+Gene", "espeak", "en-us+Gene", rate=0.95),
    Voice("espeak-en-gb+m5", "espeak", "en-gb+m5"),
    Voice("espeak-en-us+robert", "espeak", "en-us+robert", pitch=1.05),
)
"""The recogniser's settings were chosen while listening to `corpus.voices.TEST_VOICES`, so the measured
questions are not asked by them. flite has no further speaker: awb and kal16 are here with another vocal
tract, pitch and speed. Chosen by name, before the recogniser heard any of them."""
