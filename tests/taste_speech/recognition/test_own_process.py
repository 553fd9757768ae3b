import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from taste_speech.errors import AudioError, TasteError
from taste_speech.recognition.own_process import PocketSphinxProcess
from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer
from tests.taste_speech.recognition.test_pocketsphinx import SENTENCES, model, needs_flite, question

__all__ = ["model", "question"]


@pytest.fixture
def recognizer(model):
    return PocketSphinxProcess(*model)


def by_blocks(recognizer, samples, block=1600):
    """What was heard while the samples came, and in the end."""
    recognizer.start()
    partial = []
    for start in range(0, len(samples), block):
        recognizer.accept(samples[start : start + block])
        partial.append(recognizer.partial())
    return partial, recognizer.finish(), recognizer.heard_voice


@needs_flite
def test_it_hears_what_it_would_hear_in_this_process(recognizer, model, question):
    here = by_blocks(PocketSphinxRecognizer(*model), question)
    assert by_blocks(recognizer, question) == here
    assert here[1].text == SENTENCES[0]


@needs_flite
def test_it_decodes_the_part_that_is_asked_for(recognizer, model, question):
    results = []
    for each in (recognizer, PocketSphinxRecognizer(*model)):
        each.start()
        each.accept(np.pad(question, (16_000, 16_000)))
        results.append(each.finish(16_000, 16_000 + len(question)))
    assert results[0] == results[1]
    assert results[0].text == SENTENCES[0]
    assert results[0].words[0].start_s > 1.0


def test_the_process_is_small():
    program = "import taste_speech.recognition.own_process, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_noise_is_no_voice(recognizer):
    noise = 0.01 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    _, heard, is_voice = by_blocks(recognizer, noise)
    assert (heard.text, is_voice) == ("", False)


@needs_flite
def test_a_new_utterance_forgets_the_last(recognizer, question):
    recognizer.start()
    recognizer.accept(question)
    _, heard, _ = by_blocks(recognizer, question)
    assert heard.text == SENTENCES[0]


@needs_flite
def test_other_threads_run_while_it_decodes(recognizer, question):
    late, ended = [0.0], threading.Event()

    def tick():
        while not ended.is_set():
            due = time.monotonic() + 0.002
            time.sleep(0.002)
            late.append(time.monotonic() - due)

    recognizer.start()
    for _ in range(8):
        recognizer.accept(question)
    recognizer.partial()
    ticking = threading.Thread(target=tick)
    ticking.start()
    began = time.monotonic()
    recognizer.finish()  # the second pass is one call into the decoder
    waited = time.monotonic() - began
    ended.set()
    ticking.join()
    assert max(late) < 0.4 * waited


@pytest.mark.parametrize("samples", [np.zeros((2, 1600), np.float32), np.full(1600, np.nan, np.float32)])
def test_impossible_audio_is_refused(recognizer, samples):
    recognizer.start()
    with pytest.raises(AudioError, match="give finite samples of one channel"):
        recognizer.accept(samples)


def test_models_that_cannot_be_loaded_are_told_at_the_start(tmp_path):
    recognizer = PocketSphinxProcess(tmp_path / "no.lm.bin", tmp_path / "no.dict")
    for _ in range(2):
        with pytest.raises(Exception, match=r"no\.lm\.bin|no\.dict|Failed"):
            recognizer.start()


@needs_flite
def test_a_process_that_dies_is_told_and_replaced(recognizer, question):
    recognizer.start()
    os.kill(recognizer._process.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(TasteError, match="ended with code -9; please say that again"):
            by_blocks_without_start(recognizer, question)
    with pytest.raises(TasteError, match="ended with code -9; please say that again"):
        recognizer.partial()
    assert by_blocks(recognizer, question)[1].text == SENTENCES[0]


def by_blocks_without_start(recognizer, samples):
    recognizer.accept(samples)
    recognizer.finish()


def test_no_process_outlives_its_maker(model):
    program = (
        "import os, sys, signal; from taste_speech.recognition.own_process import PocketSphinxProcess\n"
        "recognizer = PocketSphinxProcess(sys.argv[1], sys.argv[2]); recognizer.start()\n"
        "print(recognizer._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    made = subprocess.run([sys.executable, "-c", program, *map(str, model)], capture_output=True, text=True)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{int(made.stdout)}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{int(made.stdout)}")


def test_nothing_is_left_when_it_is_no_longer_needed(model):
    recognizer = PocketSphinxProcess(*model)
    recognizer.start()
    process = recognizer._process
    del recognizer
    gc.collect()
    assert process.poll() is not None
