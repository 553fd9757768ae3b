from typing import Any

import pytest
import torch

from taste_speech.phones import MARKED_PHONES, UNITS, marked_phones
from taste_speech.vocoder.configuration import FlowConfig, VoiceGeneratorConfig
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.frames import MaskedGroupNorm, frame_mask, stretched_units
from tests.taste_speech.vocoder.conftest import seeded_part


@torch.no_grad()
def test_mel_agrees_with_the_published_model(golden: dict[str, Any]) -> None:
    with torch.device("meta"):
        flow = Flow(VoiceGeneratorConfig())
    flow.load_state_dict(seeded_part("flow"), assign=True)
    mel = flow.eval().inference(
        golden["flow.token_ids"], golden["speaker_embeds"], noise=golden["flow.noise"]
    )
    torch.testing.assert_close(mel, golden["flow.mel"], rtol=1e-3, atol=1e-3)


@pytest.fixture
def flow(small_config: VoiceGeneratorConfig) -> Flow:
    torch.manual_seed(0)
    return Flow(small_config).eval()


@torch.no_grad()
def test_padded_batch_equals_single_items(flow: Flow) -> None:
    units = torch.randint(0, 30, (3, 24))
    unit_counts, frame_counts = torch.tensor([24, 10, 17]), torch.tensor([30, 12, 21])
    mask = frame_mask(frame_counts, 30)
    noise, speaker = torch.randn(3, 20, 30), flow.speaker_vector(torch.randn(3, 6))
    frame_units = stretched_units(unit_counts, frame_counts, 30)
    condition = flow.condition(flow.encode(units, unit_counts), frame_units, mask)
    batch = flow.decoder(noise, condition, speaker, mask=mask)
    for item in range(3):
        frames, one = int(frame_counts[item]), slice(item, item + 1)
        alone = flow.condition(flow.encode(units[one, : unit_counts[item]]), frame_units[one, :frames])
        mel = flow.decoder(noise[one, :, :frames], alone, speaker[one])
        torch.testing.assert_close(batch[one, :, :frames], mel, rtol=1e-3, atol=1e-4)
    # The noise outside the mask comes back unchanged: nothing is estimated there.
    assert torch.equal(batch[1, :, 12:], noise[1, :, 12:])


@torch.no_grad()
def test_guidance_without_rate_is_the_conditioned_flow(flow: Flow) -> None:
    units, speaker, noise = torch.randint(0, 30, (1, 8)), torch.randn(1, 6), torch.randn(1, 20, 10)
    guided = flow.inference(units, speaker, noise)
    flow.decoder.config.cfg_rate = 0.0
    plain = flow.inference(units, speaker, noise)
    flow.decoder.config.cfg_rate = 1e-9
    torch.testing.assert_close(flow.inference(units, speaker, noise), plain)
    assert not torch.allclose(guided, plain)


def test_number_of_steps_is_the_configured_one(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    forward = flow.decoder.estimator.forward

    def counted(x: torch.Tensor, *args: Any) -> torch.Tensor:
        calls.append(len(x))
        return forward(x, *args)

    monkeypatch.setattr(flow.decoder.estimator, "forward", counted)
    arguments = torch.zeros(1, 4, dtype=torch.long), torch.randn(1, 6)
    flow.inference(*arguments)
    assert calls == [2, 2, 2]  # three steps; both halves of the guidance in one batch
    flow.inference(*arguments, num_steps=1)
    assert len(calls) == 4


@torch.no_grad()
def test_a_flow_that_begins_late_stays_near_its_condition(flow: Flow) -> None:
    units, speaker, noise = torch.randint(0, 30, (1, 8)), torch.randn(1, 6), torch.randn(1, 20, 10)
    frame_units = stretched_units(torch.tensor([8]), torch.tensor([10]), 10)
    condition = flow.condition(flow.encode(units), frame_units) * 3
    flow.decoder.config.mel_mean, flow.decoder.config.mel_std = 0.0, 1.0

    def distance(start: float) -> float:
        flow.decoder.config.start = start
        mel = flow.decoder(noise, condition, flow.speaker_vector(speaker))
        return float((mel - condition).square().mean())

    assert distance(0.999) < 1e-2 * distance(0.0)
    assert distance(0.999) < distance(0.6) < distance(0.0)


def test_loss_reaches_every_parameter_and_ignores_padding(flow: Flow) -> None:
    flow.train()
    mel, units = torch.randn(4, 20, 15), torch.randint(0, 30, (4, 12))
    counts = torch.tensor([15, 9, 15, 5]), torch.tensor([12, 7, 12, 4])

    def loss(mel: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)  # dropout
        generator = torch.Generator().manual_seed(5)
        return flow.losses(mel, counts[0], units, counts[1], torch.ones(4, 6), generator)[0]

    value = loss(mel)
    value.backward()
    assert [n for n, p in flow.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    changed = mel.clone()
    changed[1, :, 9:] = 100.0
    torch.testing.assert_close(loss(changed), value)


def test_training_overfits_one_item(flow: Flow) -> None:
    flow.train()
    mel, units = torch.randn(2, 20, 10), torch.randint(0, 30, (2, 8))
    counts = torch.tensor([10, 10]), torch.tensor([8, 8])
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        generator = torch.Generator().manual_seed(step % 4)
        loss, *_ = flow.losses(mel, counts[0], units, counts[1], torch.ones(2, 6), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def test_units_are_stretched_to_the_frames() -> None:
    counts = torch.tensor([40]), torch.tensor([68])
    ours = stretched_units(*counts, 68)[0]
    nearest = torch.nn.functional.interpolate(torch.arange(40.0)[None, None], size=68, mode="nearest")
    assert ours.tolist() == nearest[0, 0].long().tolist()


def test_group_norm_over_valid_frames_only() -> None:
    norm = MaskedGroupNorm(2, 8)
    x = torch.randn(2, 8, 10)
    mask = frame_mask(torch.tensor([10, 4]), 10)
    torch.testing.assert_close(norm(x, mask)[0], norm(x)[0])
    torch.testing.assert_close(norm(x, mask)[1, :, :4], norm(x[1:, :, :4])[0])


@torch.no_grad()
@pytest.mark.parametrize("as_prompt", [False, True])
def test_known_frames_stay_and_the_others_follow_them(flow: Flow, as_prompt: bool) -> None:
    flow.config.flow.known_frames_as_prompt = as_prompt
    noise, condition = torch.randn(1, 20, 12), torch.randn(1, 20, 12)
    speaker = flow.speaker_vector(torch.ones(1, 6))
    free = flow.decoder(noise, condition, speaker)
    one, other = torch.randn(2, 1, 20, 5)
    mel = flow.decoder(noise, condition, speaker, known=one)
    torch.testing.assert_close(mel[:, :, :5], one)
    assert not torch.allclose(mel[:, :, 5:], flow.decoder(noise, condition, speaker, known=other)[:, :, 5:])
    assert not torch.allclose(mel[:, :, 5:], free[:, :, 5:])
    assert mel.shape == free.shape


@torch.no_grad()
def test_a_flow_of_phones_makes_another_sound_at_another_pitch(small_config: VoiceGeneratorConfig) -> None:
    flow_config = FlowConfig.model_validate(small_config.flow.model_dump() | {"phones": True})
    config = small_config.model_copy(update={"flow": flow_config, "unit_vocab_size": UNITS})
    torch.manual_seed(0)
    flow = Flow(config).eval()
    torch.nn.init.normal_(flow.phone_embedding.pitches.weight)
    units = torch.tensor([marked_phones("bˈæt.") * 3])
    plain = flow.encode(units)
    assert not torch.allclose(plain, flow.encode(units + 5 * MARKED_PHONES))
    assert not torch.allclose(plain, flow.encode(units.flip(1)))
    noise, speaker = torch.randn(1, 20, 11), torch.ones(1, 6)
    low, high = (flow.inference(units + level * MARKED_PHONES, speaker, noise) for level in (3, 20))
    assert low.shape == high.shape
    assert not torch.allclose(low, high)
