"""The agent's side: the reply that is thought or spoken, from its first order to its last word. Pure."""

from taste_agent import events as ev
from taste_agent.audio.playback import PlaybackBuffer, Pulled
from taste_agent.clock import ms_of_samples
from taste_agent.dialog import messages as m
from taste_agent.turns.orders import Output
from taste_agent.turns.pieces import Stretch
from taste_agent.turns.reply import Reply


class Answering:
    """Keeps the running reply and tells playback what to do with it.

    What follows from an input is appended to `out`, in order.
    """

    def __init__(self, playback: PlaybackBuffer, out: list[Output]) -> None:
        self._playback = playback
        self._out = out
        self._generation = 0
        self.reply: Reply | None = None
        self.input_latency_samples = 0
        self.output_latency_samples = 0

    def begin(self, question: Stretch, end_of_speech: int, end_of_turn: int) -> Reply:
        """A reply is asked for; its generation is new."""
        self._generation += 1
        self.reply = Reply(self._generation, question, end_of_speech, end_of_turn)
        self._playback.begin(self._generation)
        return self.reply

    def take(self, now: int, reply: Reply, result: m.Spoken | m.Generated) -> bool:
        """The worker has something of the running reply; returns whether there still is one."""
        if isinstance(result, m.Spoken):
            reply.take_chunk(result)
            self._playback.push(result.generation, result.samples, result.words)
            words = tuple(word.text for word in result.words)
            costs = (result.generate_ms, result.detokenize_ms)
            self._out.append(ev.ReplyChunk(now, reply.generation, words, len(result.samples), *costs))
        elif reply.words:
            reply.generated = True
            self._out.append(ev.ReplyGenerated(now, reply.generation, result.reason, result.text))
            self._playback.complete(reply.generation)
        else:  # nothing to say
            self._out += [ev.NoSpeech(now, reply.generation), m.Settle(reply.generation, 0)]
            self._playback.cancel()
            self.reply = None
        return self.reply is not None

    def take_pulled(self, now: int, pulled: Pulled) -> None:
        """Playback took samples that sound from `now` on."""
        reply = self.reply
        if reply is None or self._playback.generation != reply.generation:
            return
        if pulled.started:
            self._out.append(self._first_audio(now, reply))
        if pulled.gap_samples:
            self._out.append(ev.Underrun(now, reply.generation, pulled.gap_samples))
        reply.take_pulled(now + len(pulled.samples) + self.output_latency_samples, pulled)

    def hear_words(self, now: int) -> bool:
        """Tells which words have sounded by now; returns whether the reply has been heard to its end."""
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
        self._out += [
            ev.ReplyFinished(now, reply.generation, text, reply.underruns, audio_ms, rtf),
            m.Settle(reply.generation, reply.heard_words),
        ]
        self.reply = None

    def pause(self, now: int, reply: Reply, first_sample: int) -> None:
        """Somebody speaks over the reply."""
        if self._playback.paused:
            return
        self._playback.pause()
        if self.output_latency_samples:  # the loudspeaker's queue is silenced at once
            self._playback.unpull(reply.forget_unheard(now))
        self._out.append(ev.PlaybackPaused(now, reply.generation, first_sample))

    def resume(self, now: int, reply: Reply, reason: str) -> None:
        """It was nothing."""
        reply.echoes |= reason == "echo"
        if not self._playback.paused:
            return
        from_word = self._playback.resume()
        self._out.append(ev.PlaybackResumed(now, reply.generation, reason, from_word))

    def cancel(self, now: int, reply: Reply, reason: str) -> None:
        """The reply stops; its heard words stay in the history. One whose last word was heard is finished."""
        self._playback.cancel()
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
            recognise_ms=reply.recognise_ms,
            tokenize_ms=reply.tokenize_ms,
            read_ms=reply.prefill_ms,
            think_ms=chunk.generate_ms if chunk else 0.0,
            voice_ms=chunk.detokenize_ms if chunk else 0.0,
        )
