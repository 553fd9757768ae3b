"""Speech recognition with Whisper tiny.en, fast enough for a conversation on a CPU."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from taste_speech.audio_tower.encoder import EncodedAudio, encoder_frames
from taste_speech.recognition.base import (
    RECOGNITION_RATE_HZ,
    BufferedRecognizer,
    Recognition,
    RecognizedWord,
    split_at_quiet,
)
from taste_speech.recognition.english_whisper import (
    LONGEST_S,
    VALUE_LAYER,
    EnglishWhisper,
    Transcript,
    has_letters,
)
from taste_speech.recognition.turn_end import TurnEnd
from taste_speech.recognition.voicing import MIN_VOICED_S, voiced_seconds
from taste_speech.spoken_text import spoken_words

CERTAIN_SILENCE = 0.8
"""No words are accepted if the probability that nothing is said is higher than this."""
LIKELY_SILENCE, DOUBTFUL_LOG_PROB = 0.5, -1.0
"""The same limit for words whose tokens have a mean log probability below the second number. All were chosen
on synthetic voices with and without noise, against noise, breath, clicks, tones, rings and music."""
MIN_ALIGNED_LOG_PROB = -4.0
"""Minimum mean log probability of the tokens of a given text. Without capitals and punctuation, words that
were said have -0.6 to -1.6; of those that were not said, half have -3 to -5, the others less than -5."""
_MURMURS = {
    **dict.fromkeys(("mm-hmm", "mm-hm", "mhmm", "m-hm", "mmhmm"), "mhm"),
    **{"hmm": "hm", "hmmm": "hm", "mmm": "mm", "uhm": "um", "umm": "um"},
    **{"uhh": "uh", "ohh": "oh", "ahh": "ah", "ah-ha": "aha", "uh-huh": "uh huh"},
    "ok": "okay",  # after a comma it would be read as the state
}
"""Spellings of murmurs and short answers -> the spelling that the models know."""


def is_said(transcript: Transcript) -> bool:
    """Return whether the words were probably said, not hallucinated in noise."""
    if not transcript.token_ids or transcript.no_speech > CERTAIN_SILENCE:
        return False
    doubtful = float(np.mean(transcript.log_probs)) < DOUBTFUL_LOG_PROB
    return not (doubtful and transcript.no_speech > LIKELY_SILENCE)


def spoken_forms(written: Sequence[str]) -> list[list[str]]:
    """Return the spoken words of each written word of a sentence, with its capitals and punctuation.

    ["It's", "3:30,", "Mr.", "-"] -> [["It's"], ["three", "thirty,"], ["Mister"], []]
    """
    known = [_murmur(word) or "," for word in written]
    return [_said_words(said) for said in spoken_words(known)]


def _murmur(word: str) -> str:
    bare = word.strip(".,?!…")
    known = _MURMURS.get(bare.lower())
    if known is None:
        return word
    return word.replace(bare, known.capitalize() if bare[0].isupper() else known)


def _said_words(said: str) -> list[str]:
    letters = unicodedata.normalize("NFKD", said.replace("’", "'"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words = (word.strip("'-") for word in re.sub(r"[^a-zA-Z'.,?!-]", " ", plain).split())
    return [word for word in words if has_letters(word)]


class EnglishRecognizer(BufferedRecognizer):
    """Recognizes English with Whisper; each result of an utterance is a draft for the next one.

    Args:
        load: function that returns the model; called at the first `start`.
        turn_end: network that estimates whether the speaker has finished.
    """

    def __init__(self, load: Callable[[], EnglishWhisper], turn_end: TurnEnd | None = None) -> None:
        super().__init__()
        self._load, self._turn_end = load, turn_end
        self._drafts: list[tuple[int, ...]] = []
        self._encoded: tuple[NDArray[np.float32], EncodedAudio] | None = None

    @cached_property
    def model(self) -> EnglishWhisper:
        """The model, loaded on first use."""
        return self._load()

    def start(self) -> None:
        """Start an utterance and forget the previous one."""
        super().start()
        self._drafts = []
        _ = self.model

    def encoded(self, samples: NDArray[np.float32], value_layer: int) -> EncodedAudio | None:
        """See `Recognizer`; these are the states of the audio that was encoded last."""
        if self._encoded is None or value_layer != VALUE_LAYER:
            return None
        audio, states = self._encoded
        if not np.array_equal(audio, samples):
            return None
        frames = encoder_frames(self.model.frame_count(audio.size))
        return EncodedAudio(states.keys[:, :frames], states.values[:, :frames])

    def _recognize(self, audio: NDArray[np.float32]) -> Recognition:
        if voiced_seconds(audio, RECOGNITION_RATE_HZ) < MIN_VOICED_S:
            return Recognition()
        parts = split_at_quiet(audio, int(LONGEST_S * RECOGNITION_RATE_HZ), RECOGNITION_RATE_HZ)
        drafts, self._drafts = [*self._drafts, *((),) * len(parts)], []
        words: list[RecognizedWord] = []
        written = []
        start_s = 0.0
        finished: float | None = None
        for part, draft in zip(parts, drafts, strict=False):
            seconds = part.size / RECOGNITION_RATE_HZ
            states = self.model.encode(part)
            self._encoded = part, states
            encoded = states.keys[0]
            transcript = self.model.transcribe(encoded, seconds, draft)
            self._drafts.append(transcript.token_ids)
            if is_said(transcript):
                words += [word.later_by(start_s) for word in self._words(transcript, seconds)]
                written.append(self.model.tokenizer.decode(list(transcript.token_ids)).strip())
            start_s += seconds
            if self._turn_end is not None:
                finished = self._turn_end.probability(encoded, round(seconds / self.model.frame_s))
        text = " ".join(word.text for word in words)
        return Recognition(text, tuple(words), " ".join(written), finished)

    def _words(self, transcript: Transcript, seconds: float) -> Iterable[RecognizedWord]:
        """Yield the words as they are spoken; those of one written word share its time and confidence."""
        decode = self.model.tokenizer.decode
        texts = [decode([token]) for token in transcript.token_ids]
        starts = [index for index, text in enumerate(texts) if index == 0 or text.startswith(" ")]
        spans = list(pairwise([*starts, len(texts)]))
        # Decode each word as a whole, because a letter outside ASCII may be several tokens.
        written = [decode(list(transcript.token_ids[first:after])).strip() for first, after in spans]
        times_s = self.model.times_s(transcript, spans, seconds)
        for (first, after), (start_s, end_s), said in zip(spans, times_s, spoken_forms(written), strict=True):
            confidence = transcript.confidence
            if confidence is None:
                confidence = math.exp(np.mean(transcript.log_probs[first:after]))
            step_s = (end_s - start_s) / max(1, len(said))
            for number, word in enumerate(said):
                begin_s = start_s + number * step_s
                yield RecognizedWord(word, begin_s, begin_s + step_s, confidence)


def timed_words(
    model: EnglishWhisper, samples: NDArray[np.float32], words: Sequence[str]
) -> list[RecognizedWord]:
    """Return known words with their times in samples (T,) at 16 kHz.

    No word gets times if the words were probably not said in this sound, or if it is longer than `LONGEST_S`.
    Words without letters never get times.
    """
    timed = [RecognizedWord(word) for word in words]
    seconds = samples.size / RECOGNITION_RATE_HZ
    said = [index for index, word in enumerate(words) if has_letters(word)]
    tokens = [model.encode_text(words[index].strip()) for index in said]
    token_ids = [token for of_word in tokens for token in of_word]
    if not 0 < len(token_ids) <= model.max_tokens or seconds > LONGEST_S:
        return timed
    transcript = model.align(model.encode(samples).keys[0], token_ids)
    if np.mean(transcript.log_probs) < MIN_ALIGNED_LOG_PROB:
        return timed
    spans = list(pairwise(accumulate(map(len, tokens), initial=0)))
    for index, (start_s, end_s) in zip(said, model.times_s(transcript, spans, seconds), strict=True):
        timed[index] = RecognizedWord(words[index], start_s, end_s)
    return timed
