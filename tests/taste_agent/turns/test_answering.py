"""A reply from its first order to its last heard word."""

import numpy as np

from taste_agent import events as ev
from taste_agent.audio.playback import PlaybackBuffer
from taste_agent.config import PlaybackSettings
from taste_agent.dialog import messages as m
from taste_agent.dialog.messages import Play, Resume, Silence
from taste_agent.turns.answering import Answering
from taste_agent.turns.hearing import Stretch
from taste_speech.words import Word

WORD = 1600
FRAME = 320


class Agent:
    """An `Answering` whose reply has words of 0.1 s; `out` keeps all that followed, and playback obeys it."""

    def __init__(self, latency=0):
        self.out = []
        self.playback = PlaybackBuffer(PlaybackSettings(prebuffer_ms=0, fade_ms=1))
        self.obeyed = 0
        self.answering = Answering(self.out)
        self.answering.output_latency_samples = latency
        self.reply = self.answering.begin(Stretch(), 0, 1000)
        self.playback.begin(self.reply.generation)
        self.now = 1000

    def obey(self):
        """Does with playback what the orders say that are new."""
        for order in self.out[self.obeyed :]:
            match order:
                case Play(m.Spoken() as chunk):
                    self.playback.push(chunk.generation, chunk.samples, chunk.words)
                case Play(m.Generated()):
                    self.playback.complete(order.chunk.generation)
                case Silence(for_good=True):
                    self.playback.cancel()
                case Silence():
                    self.playback.pause()
                    if order.unheard_words is not None:
                        self.playback.unpull(order.unheard_words)
                case Resume():
                    assert self.playback.resume() == self.of(ev.PlaybackResumed)[-1].from_word
        self.obeyed = len(self.out)

    def say(self, *words, last=True):
        samples = np.full(WORD * len(words), 0.5, np.float32)
        spoken = tuple(Word(word, end=(i + 1) * WORD) for i, word in enumerate(words))
        generation = self.reply.generation
        more = self.answering.take(self.now, self.reply, m.Spoken(generation, samples, spoken, 1, 2, 3, 4))
        if last:
            done = m.Generated(generation, "finished", " ".join(words))
            more = self.answering.take(self.now, self.reply, done)
        return more

    def play(self, frames):
        """Returns whether the reply was heard to its end."""
        ended = False
        for _ in range(frames):
            self.now += FRAME
            self.obey()
            ended |= self.answering.hear_words(self.now)
            self.answering.take_pulled(self.now, self.playback.pull(FRAME))
        return ended

    def of(self, kind):
        return [output for output in self.out if isinstance(output, kind)]


def test_words_are_told_when_they_have_sounded_and_then_the_end():
    agent = Agent()
    assert agent.say("it", "is", "five")
    assert not agent.play(7)
    assert [event.text for event in agent.of(ev.WordHeard)] == ["it"]
    assert agent.play(20)
    assert [event.text for event in agent.of(ev.WordHeard)] == ["it", "is", "five"]
    (finished,) = agent.of(ev.ReplyFinished)
    assert (finished.text, finished.audio_ms) == ("it is five", 300.0)
    assert agent.out[-1] == m.Settle(1, 3)
    assert agent.answering.reply is None


def test_the_first_sound_is_told_once_with_its_parts():
    agent = Agent()
    agent.say("yes", "no")
    agent.play(5)
    (first,) = agent.of(ev.FirstAudio)
    assert (first.silence_ms, first.card_ms) == (62.5, 0)
    assert (first.tokenize_ms, first.read_ms, first.think_ms, first.voice_ms) == (1, 2, 3, 4)


def test_a_reply_without_words_is_none():
    agent = Agent()
    assert not agent.answering.take(0, agent.reply, m.Generated(1, "finished", ""))
    assert agent.answering.reply is None
    assert agent.of(ev.NoSpeech)
    assert agent.of(m.Settle) == [m.Settle(1, 0)]


def test_cancelling_keeps_what_was_heard():
    agent = Agent()
    agent.say("it", "is", "five")
    agent.play(7)
    agent.answering.cancel(agent.now, agent.reply, "key")
    (cut,) = agent.of(ev.ReplyCancelled)
    assert (cut.heard_words, cut.heard_text, cut.cut_text, cut.reason) == (1, "it", "is five", "key")
    assert agent.of(Silence) == [Silence(for_good=True, cut=True)]
    assert agent.out[-1] == m.Settle(1, 1)
    assert agent.answering.reply is None


def test_a_reply_whose_last_word_was_heard_is_not_interrupted_in_the_silence_after_it():
    agent = Agent()
    agent.say("yes", last=False)
    tail = m.Spoken(1, np.zeros(4 * WORD, np.float32), (), 0, 0, 0, 0)
    agent.answering.take(agent.now, agent.reply, tail)
    agent.answering.take(agent.now, agent.reply, m.Generated(1, "finished", "yes"))
    agent.play(9)
    agent.answering.cancel(agent.now, agent.reply, "word")
    assert not agent.of(ev.ReplyCancelled)
    assert agent.of(Silence) == [Silence(for_good=True, cut=False)]
    assert agent.of(ev.ReplyFinished)[0].text == "yes"
    assert agent.out[-1] == m.Settle(1, 1)


def test_a_pause_is_told_once_and_takes_back_what_the_loudspeaker_held():
    agent = Agent(latency=4 * WORD)
    agent.say("it", "is", "five")
    agent.play(10)
    for _ in range(2):
        agent.answering.pause(agent.now, agent.reply, agent.now)
    assert len(agent.of(ev.PlaybackPaused)) == 1
    assert agent.of(Silence) == [Silence(for_good=False, cut=True, unheard_words=2)]
    agent.answering.resume(agent.now, agent.reply, "backchannel")
    agent.obey()
    (resumed,) = agent.of(ev.PlaybackResumed)
    assert (resumed.from_word, resumed.reason) == (0, "backchannel")


def test_every_reply_has_a_generation_of_its_own():
    agent = Agent()
    assert agent.answering.begin(Stretch(), 0, 0).generation == 2


def test_without_a_reply_nothing_follows_from_what_is_pulled():
    agent = Agent()
    agent.say("yes")
    agent.answering.cancel(0, agent.reply, "key")
    agent.obey()
    agent.out.clear()
    agent.obeyed = 0
    agent.play(3)
    assert agent.out == []
