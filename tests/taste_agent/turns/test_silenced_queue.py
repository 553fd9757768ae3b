"""With a sound card, a pause also silences what the loudspeaker still held; that was not heard."""

import numpy as np

from taste_agent.audio.playback import PlaybackBuffer
from taste_agent.config import PlaybackSettings
from taste_agent.dialog.messages import Spoken
from taste_agent.turns.answering import Reply
from taste_agent.turns.hearing import Stretch
from taste_speech.words import Word

WORD = 1600


def playing(words, complete=True):
    playback = PlaybackBuffer(PlaybackSettings(prebuffer_ms=0, fade_ms=1))
    playback.begin(1)
    samples = np.repeat(np.arange(1, words + 1) / 10, WORD).astype(np.float32)
    playback.push(1, samples, tuple(Word(str(i), end=(i + 1) * WORD) for i in range(words)))
    if complete:
        playback.complete(1)
    return playback


def test_words_that_were_silenced_are_said_again():
    playback = playing(6)
    for _ in range(4):
        playback.pull(WORD)
    playback.pause()
    playback.unpull(2)
    playback.pull(WORD)
    assert playback.resume() == 2
    assert playback.pull(WORD).samples[-1] == np.float32(0.3)


def test_reply_whose_end_was_silenced_is_not_finished():
    playback = playing(3)
    assert playback.pull(3 * WORD).finished
    playback.pause()
    playback.unpull(1)
    assert not playback.pull(WORD).finished
    assert playback.resume() == 2
    last = playback.pull(2 * WORD)
    assert last.finished
    assert last.words_ended == 1
    assert last.samples[WORD - 1] == np.float32(0.3)


def test_what_is_no_longer_kept_is_not_said_again():
    playback = playing(4, complete=False)
    playback.pull(3 * WORD)
    playback.push(1, np.full(WORD, 0.9, np.float32), (Word("4", end=5 * WORD),))
    playback.pause()
    playback.pull(WORD // 2)
    playback.unpull(3)
    playback.resume()
    assert playback.pull(WORD // 2).samples[-1] > 0.3


def test_only_what_would_be_heard_later_is_forgotten():
    reply = Reply(1, Stretch(), 0, 0)
    reply.take_chunk(Spoken(1, np.zeros(10, np.float32), tuple(Word(w, end=1) for w in "abcd"), 0, 0, 0, 0))
    reply.on_the_way.extend([(100, 1, False), (200, 1, False), (300, 2, True)])
    assert reply.forget_unheard(150) == 3
    assert list(reply.on_the_way) == [(100, 1, False)]
    assert reply.forget_unheard(150) == 0
