"""Bookkeeping of one reply of the agent. Pure."""

from collections import deque
from dataclasses import dataclass, field

from taste_agent.audio.playback import Pulled
from taste_agent.dialog.messages import Spoken
from taste_agent.turns.pieces import Stretch


@dataclass(slots=True)
class Reply:
    """What is known about the reply that is being thought or spoken."""

    generation: int
    question: Stretch
    end_of_speech: int
    end_of_turn: int
    recognise_ms: float = 0.0
    tokenize_ms: float = 0.0
    prefill_ms: float = 0.0
    words: list[str] = field(default_factory=list)
    heard_words: int = 0
    first_chunk: Spoken | None = None
    generated: bool = False
    """Whether all its words are there."""
    audio_samples: int = 0
    compute_ms: float = 0.0
    underruns: int = 0
    echoes: bool = False
    """It was paused by its own echo; from then on only words that are not its own pause it."""
    on_the_way: deque[tuple[int, int, bool]] = field(default_factory=deque)
    """(input sample at which it is heard, words that end with it, whether the reply does)."""

    def take_chunk(self, chunk: Spoken) -> None:
        """Counts a chunk that was generated."""
        if self.first_chunk is None:
            self.first_chunk = chunk
            self.tokenize_ms += chunk.tokenize_ms
            self.prefill_ms += chunk.prefill_ms
        self.words += [word.text for word in chunk.words]
        self.audio_samples += len(chunk.samples)
        self.compute_ms += chunk.tokenize_ms + chunk.prefill_ms + chunk.generate_ms + chunk.detokenize_ms

    @property
    def heard_whole(self) -> bool:
        """Whether its last word was heard, whatever silence may follow."""
        return self.generated and self.heard_words == len(self.words)

    def take_pulled(self, heard_at: int, pulled: Pulled) -> None:
        """Remembers what was pulled until it is heard."""
        self.underruns += pulled.ran_dry
        if pulled.words_ended or pulled.finished:
            self.on_the_way.append((heard_at, pulled.words_ended, pulled.finished))

    def forget_unheard(self, now: int) -> int:
        """What would be heard after `now` is not: it was silenced on its way. Returns its words."""
        words = 0
        while self.on_the_way and self.on_the_way[-1][0] > now:
            words += self.on_the_way.pop()[1]
        return words

    def text(self, first: int = 0, last: int | None = None) -> str:
        """Words of the reply as text."""
        return " ".join(word.strip() for word in self.words[first:last] if word.strip())
