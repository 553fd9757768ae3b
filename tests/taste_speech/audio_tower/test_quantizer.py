import pytest
import torch

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.configuration_sections import QuantizerConfig


@pytest.fixture(scope="module")
def quantizer():
    torch.manual_seed(3)
    quantizer = ResidualQuantizer(QuantizerConfig(dim=10, codebook_dim=4, codebook_size=8, num_quantizers=3))
    torch.nn.init.normal_(quantizer.codebooks)
    return quantizer.eval()


@pytest.fixture(scope="module")
def vectors():
    return torch.randn(2, 5, 10, generator=torch.Generator().manual_seed(4))


def nearest(residual, codebook):
    return min(range(len(codebook)), key=lambda k: float((residual - codebook[k]).norm()))


@torch.no_grad()
def test_each_level_takes_the_nearest_code_of_what_is_left(quantizer, vectors):
    _, indices = quantizer.quantize(vectors)
    for item, row in zip(vectors.flatten(0, 1), indices.flatten(0, 1), strict=True):
        residual = quantizer.project_in(item)
        for level, index in enumerate(row.tolist()):
            assert index == nearest(residual, quantizer.codebooks[level])
            residual = residual - quantizer.codebooks[level, index]


@torch.no_grad()
def test_indices_give_back_the_output(quantizer, vectors):
    output, indices = quantizer.quantize(vectors)
    assert indices.dtype == torch.int64
    torch.testing.assert_close(quantizer.output_from_indices(indices), output)
    torch.testing.assert_close(quantizer.project_out(quantizer.code_from_indices(indices)), output)


@torch.no_grad()
def test_masked_positions_have_no_indices_and_the_output_bias(quantizer, vectors):
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    output, indices = quantizer.quantize(vectors, mask)
    assert (indices[1, 3:] == -1).all()
    torch.testing.assert_close(output[1, 3], quantizer.project_out.bias)
    assert torch.equal(indices[mask], quantizer.quantize(vectors)[1][mask])


@torch.no_grad()
def test_missing_codes_count_as_zero(quantizer):
    codes = quantizer.codes_from_indices(torch.tensor([[2, -1]]))
    assert codes.shape == (1, 3, 4)
    assert torch.equal(codes[0, 0], quantizer.codebooks[0, 2])
    assert not codes[0, 1:].any()


@torch.no_grad()
def test_search_of_a_code_finds_its_first_index(quantizer):
    codes = quantizer.code_from_indices(torch.tensor([[5], [0]]))
    assert quantizer.indices_from_code(codes)[:, 0].tolist() == [5, 0]


@torch.no_grad()
def test_ties_take_the_first_index(quantizer):
    twin = ResidualQuantizer(QuantizerConfig(dim=10, codebook_dim=4, codebook_size=8, num_quantizers=1))
    twin.codebooks.zero_()
    assert twin.indices_from_code(torch.ones(4)).tolist() == [0]


def test_training_passes_gradients_straight_through(quantizer, vectors):
    x = vectors.clone().requires_grad_()
    try:
        quantizer.train().quantize(x)[0].sum().backward()
    finally:
        quantizer.eval()
    expected = quantizer.project_out.weight.sum(0) @ quantizer.project_in.weight
    torch.testing.assert_close(x.grad, expected.expand_as(x.grad))
    quantizer.zero_grad()
