import numpy as np
import pytest

from taste_agent.audio.playback import PlaybackBuffer
from taste_agent.config import PlaybackSettings
from taste_speech.words import Word

FRAME = 320
FADE = 480  # 30 ms


def buffer(prebuffer_ms=100) -> PlaybackBuffer:
    playback = PlaybackBuffer(PlaybackSettings(prebuffer_ms=prebuffer_ms, max_prebuffer_ms=1000, fade_ms=30))
    playback.begin(1)
    return playback


def ones(count: int) -> np.ndarray:
    return np.ones(count, np.float32)


def words(*ends: int) -> tuple[Word, ...]:
    return tuple(Word(f"w{end}", end=end) for end in ends)


def drain(playback: PlaybackBuffer, frames: int) -> tuple[np.ndarray, list]:
    pulled = [playback.pull(FRAME) for _ in range(frames)]
    return np.concatenate([p.samples for p in pulled]), pulled


def test_waits_for_the_prebuffer_then_fades_in():
    playback = buffer(prebuffer_ms=100)
    playback.push(1, ones(1599), ())
    assert not playback.pull(FRAME).started
    playback.push(1, ones(5000), ())
    sound, pulled = drain(playback, 4)
    assert [p.started for p in pulled] == [True, False, False, False]
    assert sound[0] == pytest.approx(1 / FADE)
    assert np.all(np.diff(sound) >= 0)
    assert sound[FADE - 1] == sound[-1] == 1


def test_a_complete_reply_starts_although_it_is_short_and_ends_whole():
    playback = buffer()
    playback.push(1, ones(800), words(400, 800))
    playback.complete(1)
    sound, pulled = drain(playback, 4)
    assert np.count_nonzero(sound) == 800
    assert [p.words_ended for p in pulled] == [0, 1, 1, 0]
    assert [p.finished for p in pulled] == [False, False, True, True]
    assert not any(p.ran_dry for p in pulled)


def test_chunks_of_another_generation_are_dropped():
    playback = buffer()
    playback.push(2, ones(5000), ())
    playback.complete(2)
    assert not drain(playback, 5)[0].any()


def test_begin_silences_the_previous_reply():
    playback = buffer(0)
    playback.push(1, ones(5000), ())
    playback.pull(FRAME)
    playback.begin(2)
    assert not playback.pull(FRAME).samples.any()


def test_pause_fades_out_and_resume_goes_back_to_the_word():
    playback = buffer(0)
    ramp = np.arange(1, 8001, dtype=np.float32)
    playback.push(1, ramp, words(1000, 4000, 8000))
    drain(playback, 5)  # 1600 samples: inside the second word
    playback.pause()
    sound, _ = drain(playback, 5)
    assert np.count_nonzero(sound) == FADE - 1
    assert sound[FADE - 1 :].max() == 0
    assert playback.resume() == 1
    sound, pulled = drain(playback, 30)
    assert sound[FADE] == 1000 + FADE + 1  # from the first sample of the second word, after the fade-in
    assert sum(p.words_ended for p in pulled) == 1


def test_cancel_fades_and_nothing_sounds_afterwards():
    playback = buffer(0)
    playback.push(1, ones(16000), words(16000))
    drain(playback, 5)
    playback.cancel()
    playback.push(1, ones(16000), ())
    sound, pulled = drain(playback, 60)
    assert np.count_nonzero(sound) == FADE - 1
    assert pulled[-1].finished
    assert playback.words_ended == 0


def test_running_dry_fades_counts_the_gap_and_waits_longer_for_more():
    playback = buffer(prebuffer_ms=100)
    playback.push(1, ones(1600), ())
    sound, pulled = drain(playback, 10)
    assert sum(p.ran_dry for p in pulled) == 1
    assert np.abs(np.diff(sound)).max() <= 2 / FADE
    playback.push(1, ones(1600), ())
    assert not playback.pull(FRAME).samples.any()  # twice the prebuffer now
    playback.push(1, ones(3200), ())
    sound, pulled = drain(playback, 1)
    assert sound.any()
    assert pulled[0].gap_samples > 0


def test_every_sample_is_played_once_across_gaps():
    playback = buffer(prebuffer_ms=20)
    total = 0
    rng = np.random.default_rng(1)
    for _ in range(200):
        if rng.random() < 0.5:
            count = int(rng.integers(0, 700))
            playback.push(1, ones(count), words(total + count))
            total += count
        playback.pull(FRAME)
    playback.complete(1)
    _, pulled = drain(playback, 400)
    assert pulled[-1].finished
    assert playback.words_ended == len(playback._words)


def test_memory_is_bounded_by_the_running_word():
    playback = buffer(0)
    for index in range(200):
        playback.push(1, ones(1600), words((index + 1) * 1600))
        drain(playback, 5)
    assert len(playback._pending) < 8000


def test_pause_before_the_start_holds_the_reply():
    playback = buffer(0)
    playback.pause()
    playback.push(1, ones(3200), words(3200))
    playback.complete(1)
    assert not drain(playback, 5)[0].any()
    assert playback.resume() == 0
    assert np.count_nonzero(drain(playback, 12)[0]) == 3200


def started_after(playback, limit=100):
    """How many frames it takes until the reply sounds."""
    return next(frame for frame in range(limit) if playback.pull(FRAME).started)


def test_start_waits_until_what_is_there_lasts_until_the_next_chunk():
    playback = buffer()
    drain(playback, 30)  # 600 ms for the first chunk, so 900 at most are expected for the next
    playback.push(1, ones(8000), ())  # 500 ms
    assert 20 <= started_after(playback) <= 22
    drain(playback, 13)  # it comes after 700
    playback.push(1, ones(8000), ())
    _, pulled = drain(playback, 20)
    assert not any(p.ran_dry for p in pulled)


def test_chunks_that_come_fast_are_not_waited_for():
    playback = buffer()
    drain(playback, 10)
    playback.push(1, ones(8000), ())
    assert started_after(playback) == 0


def test_a_wait_that_would_not_help_is_not_begun():
    playback = buffer()
    drain(playback, 100)  # 2 s for a chunk: longer than `max_prebuffer_ms` would be missing
    playback.push(1, ones(8000), ())
    assert started_after(playback) == 0


def test_the_pace_of_one_reply_counts_for_the_next():
    playback = buffer()
    drain(playback, 30)
    playback.push(1, ones(16000), ())
    playback.complete(1)
    drain(playback, 60)
    playback.begin(2)
    drain(playback, 10)  # 600 and 200 ms: 600 are expected
    playback.push(2, ones(6400), ())
    assert 10 <= started_after(playback) <= 12


def test_a_chunk_that_was_held_back_during_a_pause_tells_nothing():
    playback = buffer()
    playback.push(1, ones(8000), ())
    drain(playback, 5)
    playback.pause()
    drain(playback, 40)
    playback.resume()
    playback.push(1, ones(16000), ())
    playback.complete(1)
    drain(playback, 100)
    playback.begin(2)
    playback.push(2, ones(4800), ())
    assert started_after(playback) == 0


def test_a_reply_without_a_gap_takes_the_longer_prebuffer_back():
    playback = buffer(prebuffer_ms=100)
    playback.push(1, ones(1600), ())
    drain(playback, 10)
    for generation in (2, 3):
        playback.begin(generation)
        playback.push(generation, ones(1600), ())
        playback.complete(generation)
        drain(playback, 10)
    playback.begin(4)
    playback.push(4, ones(1600), ())
    assert started_after(playback) == 0
