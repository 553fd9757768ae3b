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
CROWD_LANGUAGES = "en-us en-us en-gb en-gb-scotland en-us-nyc en-gb-x-rp en-gb-x-gbcwmd".split()  # noqa: SIM905
# espeak-ng's speakers but for those (and their relatives) that evaluation listens to.
CROWD_VARIANTS = """
adam Alex Andrea Andy Annie antonio aunty belinda benjamin boris caleb croak david Demonic Denis Diogo ed
edward edward2 f1 f2 f3 f5 grandma grandpa gustave Henrique Hugo iven iven2 iven3 iven4 Jacky john kaukovalta
klatt klatt2 klatt3 klatt4 klatt5 klatt6 Lee m1 m2 m3 m4 m6 m8 marcelo Marco Mario max Michael michel miguel
Mike norbert Nguyen pablo paul pedro quincy rob robosoft robosoft3 robosoft5 sandro shelby steph steph2 steph3
Storm travis Tweaky victor whisper whisperf zac anika anikaRobot
""".split()  # noqa: SIM905
CROWD_VOICES = (
    *(
        _espeak(f"{CROWD_LANGUAGES[i % len(CROWD_LANGUAGES)]}+{variant}", rate, pitch)
        for i, variant in enumerate(CROWD_VARIANTS)
        for rate, pitch in ((0.85, 1.0), (1.0, 0.9), (1.15, 1.1))
    ),
    *(
        Voice(f"{name}-{formants}", "flite", name, pitch=pitch, formants=formants)
        for name in ("slt", "rms")
        for formants, pitch in ((0.85, 0.8), (0.88, 1.0), (0.95, 1.15), (1.04, 0.9), (1.14, 1.0), (1.18, 1.3))
        for _ in range(6)
    ),
)
"""Many speakers of whom each says little, for a recogniser that is to understand strangers."""
DIPHONE_VOICES = tuple(
    Voice(f"ked-{formants}-{rate}", "festival", "ked_diphone", rate, pitch, formants)
    for formants, pitch in ((0.92, 0.9), (1.0, 1.0), (1.06, 1.1), (1.14, 1.3))
    for rate in (0.9, 1.0, 1.15)
)
"""A person's diphones, which sound unlike flite's clustered frames and espeak-ng's formants."""
PARAMETRIC_VOICES = tuple(
    Voice(f"{name}-{formants}-{rate}", "rhvoice", name, rate, pitch, formants)
    for name in ("bdl", "clb", "ksp", "evgeniy-eng", "lyubov")
    for formants, pitch in ((0.95, 0.92), (1.0, 1.0), (1.06, 1.08))
    for rate in (0.9, 1.0, 1.12)
)
"""Five more people, as RHVoice's statistical models have them: two from the USA, one from India, two from
Russia. RHVoice's `alan` is left out: he is thought to be flite's awb, who is held out."""
TEST_VOICES = (
    Voice("awb", "flite", "awb"),
    Voice("awb-small", "flite", "awb", rate=0.95, pitch=1.15, formants=1.08),
    Voice("kal16", "flite", "kal16"),
    _espeak("en-us+f4"),
    _espeak("en-gb-x-gbclan+m7"),
    _espeak("en-us+linda", rate=0.95),
)
