import torch

from taste_speech.recognition.token_times import token_frames


def test_tokens_end_where_the_next_one_is_looked_at():
    torch.manual_seed(0)
    attention = 0.01 * torch.rand(3, 4, 100)
    for token, (start, end) in enumerate(((0, 20), (20, 33), (33, 70), (70, 100))):
        attention[:, token, start:end] += 1.0
    ends = token_frames(attention)
    assert len(ends) == 3
    assert all(abs(end - expected) <= 1 for end, expected in zip(ends, (20, 33, 70), strict=True))


def test_a_frame_at_which_all_tokens_look_says_nothing():
    torch.manual_seed(0)
    attention = 0.01 * torch.rand(2, 3, 60)
    attention[:, :, 50:] += 5.0
    attention[:, 0, :15] += 1.0
    attention[:, 1, 15:40] += 1.0
    first, second = token_frames(attention)
    assert abs(first - 15) <= 1
    assert 38 <= second <= 60


def test_ends_are_in_order_whatever_the_attention():
    attention = torch.rand(4, 6, 40, generator=torch.Generator().manual_seed(1))
    ends = token_frames(attention)
    assert ends == sorted(ends)
    assert len(ends) == 5
