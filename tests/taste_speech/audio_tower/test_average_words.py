import torch

from taste_speech.audio_tower.tower import average_words


def average(values, word_ids):
    return average_words(torch.tensor([values])[..., None], torch.tensor([word_ids]))[0, :, 0].tolist()


def test_runs_of_equal_ids_get_their_mean():
    assert average([1.0, 3.0, 5.0, 6.0, 8.0, 10.0], [0, 0, 1, 2, 2, 2]) == [2.0, 2.0, 5.0, 8.0, 8.0, 8.0]


def test_equal_ids_that_are_apart_are_different_runs():
    assert average([1.0, 3.0, 5.0], [0, 1, 0]) == [1.0, 3.0, 5.0]


def test_padding_is_not_averaged_into_the_last_word():
    assert average([1.0, 3.0, 100.0, 200.0], [0, 0, -1, -1])[:2] == [2.0, 2.0]


def test_gradient_is_shared_by_the_word():
    hidden = torch.tensor([[[1.0], [2.0], [3.0]]], requires_grad=True)
    average_words(hidden, torch.tensor([[0, 0, 1]]))[0, 0].backward()
    assert hidden.grad[0, :, 0].tolist() == [0.5, 0.5, 0.0]
