"""Murmurs as sound. Speech engines spell "mhm" out, so each is told in its own way how to say it."""

import random
from collections.abc import Sequence

from taste_speech.training.corpus.dialogues.murmurs import ASSENTS, MURMURS
from taste_speech.training.corpus.speech import Manner, Utterance, Voice

SPELLINGS = {
    "flite": {"mhm": "um hum", "hm": "hum"},
    # Phonemes of espeak-ng, in its own notation.
    "espeak": {"mhm": "[[m'mh'm]]", "mm": "[[m'm]]", "hm": "[[h'm]]", "uh huh": "[[Vh'V]]"},
}
UNSAYABLE = {"flite": ("mm",), "espeak": ()}
"""What flite has no diphones for."""
FASTEST, SLOWEST = 1.2, 0.75
LOWEST, HIGHEST = 0.85, 1.25


def murmured_utterances(
    count: int, voices: Sequence[Voice], seed: int, prefix: str, split: str
) -> list[Utterance]:
    """`count` murmurs and assents, each in one of the voices, fast or slow, high or low."""
    rng = random.Random(seed)
    wanted = []
    for number in range(count):
        voice = rng.choice(voices)
        text = rng.choice([word for word in (*MURMURS, *ASSENTS) if word not in UNSAYABLE[voice.engine]])
        # The slope of a murmur says much of what it means, and is as often up as down.
        manner = Manner(
            rate=round(rng.uniform(SLOWEST, FASTEST), 3),
            pitch=round(rng.uniform(LOWEST, HIGHEST), 3),
            slope=round(rng.uniform(-0.4, 0.4), 3),
        )
        spelling = SPELLINGS[voice.engine].get(text, "")
        wanted.append(Utterance(f"{prefix}{number:06d}", split, text, voice, manner, spelling))
    return wanted
