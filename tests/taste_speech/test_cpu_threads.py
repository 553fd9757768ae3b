"""How many threads a part of the computation takes."""

import threading

import torch

from taste_speech.cpu_threads import one_thread_if_small


def test_small_rows_take_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread_if_small(10**6):
            assert torch.get_num_threads() == 1
            with one_thread_if_small(10**6):
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with one_thread_if_small(10**9):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_thread_that_begins_within_a_row_keeps_all_its_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    try:
        with one_thread_if_small(10**6):
            other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
            other.start()
            other.join()
        assert seen == [2]
    finally:
        torch.set_num_threads(before)
