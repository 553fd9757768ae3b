import torch

from taste_speech.training.autoencoder.batching import LengthBatches, pad_ids


def test_a_pass_has_every_item_once_and_keeps_the_budget():
    lengths = [3, 50, 7, 9, 11, 2, 30, 31]
    batches = LengthBatches(lengths, 60).one_pass(torch.Generator().manual_seed(1))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(max(lengths[i] for i in batch) * len(batch) <= 60 for batch in batches)


def test_an_item_longer_than_the_budget_is_alone():
    assert LengthBatches([5, 100], 20).one_pass() == [[0], [1]]


def test_pad_ids():
    assert pad_ids([[1], [2, 3]], -1).tolist() == [[1, -1], [2, 3]]
