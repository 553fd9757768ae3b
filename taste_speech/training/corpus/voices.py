"""The speakers of the corpus: the reply voice, listener voices for training, others for evaluation."""

from taste_speech.training.corpus.speech import Voice

REPLY_VOICE = Voice("rms", "flite", "rms")


def _espeak(variant: str, rate: float = 1.0, pitch: float = 1.0) -> Voice:
    return Voice(f"espeak-{variant}", "espeak", variant, rate, pitch)


TRAIN_VOICES = (
    Voice("slt", "flite", "slt"),
    Voice("slt-small", "flite", "slt", pitch=1.12, formants=1.1),
    Voice("slt-large", "flite", "slt", pitch=0.82, formants=0.9),
    Voice("slt-fast", "flite", "slt", rate=1.2),
    Voice("slt-low", "flite", "slt", rate=0.95, pitch=0.85),
    Voice("slt-slow", "flite", "slt", rate=0.85, pitch=1.05, formants=1.05),
    Voice("rms-plain", "flite", "rms"),
    Voice("rms-small", "flite", "rms", pitch=1.25, formants=1.12),
    Voice("rms-large", "flite", "rms", pitch=0.9, formants=0.92),
    Voice("rms-fast", "flite", "rms", rate=1.2, pitch=1.1),
    Voice("rms-high", "flite", "rms", rate=1.1, pitch=1.35, formants=1.05),
    _espeak("en-us"),
    _espeak("en-us+f1"),
    _espeak("en-us+f2", rate=0.9),
    _espeak("en-us+f3", pitch=1.1),
    _espeak("en-us+m1"),
    _espeak("en-us+m2", pitch=0.9),
    _espeak("en-us+m4", rate=1.1),
    _espeak("en-gb"),
    _espeak("en-gb+f5", rate=0.95),
    _espeak("en-gb-x-rp+m6"),
    _espeak("en-gb-scotland+m3"),
    _espeak("en-us-nyc"),
    _espeak("en-us+Michael"),
    _espeak("en-us+Annie"),
)
TEST_VOICES = (
    Voice("awb", "flite", "awb"),
    Voice("awb-small", "flite", "awb", rate=0.95, pitch=1.15, formants=1.08),
    Voice("kal16", "flite", "kal16"),
    _espeak("en-us+f4"),
    _espeak("en-gb-x-gbclan+m7"),
    _espeak("en-us+linda", rate=0.95),
)
