"""The agent's side of turn-taking: the running reply, from its request to its last word. Pure."""

from collections import deque
from dataclasses import dataclass, field

from taste_agent import events as ev
from taste_agent.audio.playback import Pulled
from taste_agent.clock import ms_of_samples
from taste_agent.dialog import messages as m
from taste_agent.turns.hearing import Stretch


@dataclass(slots=True)
class Reply:
    """State of the reply that is being generated or spoken."""

    generation: int
    question: Stretch
    end_of_speech: int
    end_of_turn: int
    recognize_ms: float = 0.0
    tokenize_ms: float = 0.0
    prefill_ms: float = 0.0
    words: list[str] = field(default_factory=list)
    heard_words: int = 0
    first_chunk: m.Spoken | None = None
    generated: bool = False
    """Whether all its words have arrived."""
    audio_samples: int = 0
    compute_ms: float = 0.0
    underruns: int = 0
    paused: bool = False
    echoes: bool = False
    """Whether its own echo has paused it; from then on only words that are not its own do."""
    on_the_way: deque[tuple[int, int, bool]] = field(default_factory=deque)
    """Pulled audio: (input sample at which it is heard, words that end in it, whether the reply ends)."""

    @property
    def heard_whole(self) -> bool:
        """Whether its last word was heard, even if silence is still to be played."""
        return self.generated and self.heard_words == len(self.words)

    def take_chunk(self, chunk: m.Spoken) -> None:
        """Count a generated chunk."""
        if self.first_chunk is None:
            self.first_chunk = chunk
            self.tokenize_ms += chunk.tokenize_ms
            self.prefill_ms += chunk.prefill_ms
        self.words += [word.text for word in chunk.words]
        self.audio_samples += len(chunk.samples)
        self.compute_ms += chunk.tokenize_ms + chunk.prefill_ms + chunk.generate_ms + chunk.detokenize_ms

    def forget_unheard(self, now: int) -> int:
        """Remove audio that would be heard after `now` but was silenced; return the number of its words."""
        words = 0
        while self.on_the_way and self.on_the_way[-1][0] > now:
            words += self.on_the_way.pop()[1]
        return words

    def text(self, first: int = 0, last: int | None = None) -> str:
        """Return words of the reply as text."""
        return " ".join(word.strip() for word in self.words[first:last] if word.strip())


class Answering:
    """Keeps the running reply, and appends the orders that follow from an input to `out`."""

    def __init__(self, out: list[m.Order]) -> None:
        self._out = out
        self._generation = 0
        self.reply: Reply | None = None
        self.input_latency_samples = 0
        self.output_latency_samples = 0

    def begin(self, question: Stretch, end_of_speech: int, end_of_turn: int) -> Reply:
        """Start a reply with a new generation."""
        self._generation += 1
        self.reply = Reply(self._generation, question, end_of_speech, end_of_turn)
        return self.reply

    def take(self, now: int, reply: Reply, result: m.Spoken | m.Generated) -> bool:
        """Take a result for the running reply; return whether there still is one."""
        if isinstance(result, m.Spoken):
            reply.take_chunk(result)
            words = tuple(word.text for word in result.words)
            costs = (result.generate_ms, result.detokenize_ms)
            chunk = ev.ReplyChunk(now, reply.generation, words, len(result.samples), *costs)
            self._out += [m.Play(result), chunk]
        elif reply.words:
            reply.generated = True
            generated = ev.ReplyGenerated(now, reply.generation, result.reason, result.text)
            self._out += [generated, m.Play(result)]
        else:  # nothing to say
            self._out += [ev.NoSpeech(now, reply.generation), m.Settle(reply.generation, 0)]
            self.reply = None
        return self.reply is not None

    def take_pulled(self, now: int, pulled: Pulled) -> None:
        """Note samples that were pulled for playback from `now` on."""
        reply = self.reply
        if reply is None:
            return
        if pulled.started:
            self._out.append(self._first_audio(now, reply))
        if pulled.gap_samples:
            self._out.append(ev.Underrun(now, reply.generation, pulled.gap_samples))
        reply.underruns += pulled.ran_dry
        if pulled.words_ended or pulled.finished:
            heard_at = now + len(pulled.samples) + self.output_latency_samples
            reply.on_the_way.append((heard_at, pulled.words_ended, pulled.finished))

    def hear_words(self, now: int) -> bool:
        """Report the words heard by now; return whether the reply was heard to its end."""
        reply = self.reply
        while reply is not None and reply.on_the_way and reply.on_the_way[0][0] <= now:
            _, words, finished = reply.on_the_way.popleft()
            for index in range(reply.heard_words, reply.heard_words + words):
                self._out.append(ev.WordHeard(now, reply.generation, index, reply.words[index]))
            reply.heard_words += words
            if finished:
                self._complete(now, reply)
                return True
        return False

    def _complete(self, now: int, reply: Reply) -> None:
        audio_ms = ms_of_samples(reply.audio_samples)
        rtf = reply.compute_ms / audio_ms if audio_ms else 0.0
        text = reply.text(0, reply.heard_words)
        finished = ev.ReplyFinished(now, reply.generation, text, reply.underruns, audio_ms, rtf)
        self._out += [finished, m.Settle(reply.generation, reply.heard_words)]
        self.reply = None

    def pause(self, now: int, reply: Reply, first_sample: int) -> None:
        """Pause the reply because somebody speaks over it."""
        if reply.paused:
            return
        reply.paused = True
        unheard = reply.forget_unheard(now) if self.output_latency_samples else None
        paused = ev.PlaybackPaused(now, reply.generation, first_sample)
        self._out += [m.Silence(for_good=False, cut=True, unheard_words=unheard), paused]

    def resume(self, now: int, reply: Reply, reason: str) -> None:
        """Resume the reply after an interjection that was not meant to stop it."""
        reply.echoes |= reason == "echo"
        if not reply.paused:
            return
        reply.paused = False
        from_word = reply.heard_words + sum(words for _, words, _ in reply.on_the_way)
        self._out += [m.Resume(), ev.PlaybackResumed(now, reply.generation, reason, from_word)]

    def cancel(self, now: int, reply: Reply, reason: str) -> None:
        """Stop the reply and keep its heard words in the history; finish it if its last word was heard."""
        self._out.append(m.Silence(for_good=True, cut=not reply.heard_whole))
        if reply.heard_whole:
            self._complete(now, reply)
            return
        heard = reply.heard_words
        self._out += [
            ev.ReplyCancelled(now, reply.generation, reason, heard, reply.text(0, heard), reply.text(heard)),
            m.Settle(reply.generation, heard),
        ]
        self.reply = None

    def _first_audio(self, now: int, reply: Reply) -> ev.FirstAudio:
        chunk = reply.first_chunk
        card = self.output_latency_samples + (self.input_latency_samples if reply.question else 0)
        return ev.FirstAudio(
            now,
            reply.generation,
            silence_ms=ms_of_samples(reply.end_of_turn - reply.end_of_speech),
            computing_ms=ms_of_samples(now - reply.end_of_turn),
            card_ms=ms_of_samples(card),
            recognize_ms=reply.recognize_ms,
            tokenize_ms=reply.tokenize_ms,
            read_ms=reply.prefill_ms,
            think_ms=chunk.generate_ms if chunk else 0.0,
            voice_ms=chunk.detokenize_ms if chunk else 0.0,
        )
