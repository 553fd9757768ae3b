"""The brain on the tiny random checkpoint."""

import numpy as np
import pytest
import torch

from taste_agent.config.sources import load_settings
from taste_agent.dialog import taste_brain
from taste_agent.dialog.taste_brain import TasteBrain, emit_timing, speaker_embedding
from taste_agent.errors import AgentError
from taste_speech.streaming import EmitContext, generator
from tests.taste_agent.fakes import ScriptedRecognizer, run_session
from tests.taste_agent.speech import RATE, noise, silence, spoken, track


class DeafBrain(TasteBrain):
    """Understands what the test says; everything else is the checkpoint's."""

    def recognizer(self):
        return ScriptedRecognizer(["what time is it", "please tell me something", "yes"])


@pytest.fixture
def make(tiny_model, tiny_processor):
    def build(*overrides: str, file=None) -> DeafBrain:
        overrides = ("sampling.seed=3", "sampling.max_length=24", *overrides)
        return DeafBrain(tiny_model, tiny_processor, load_settings(file, overrides, environment={}).settings)

    return build


def ask(brain: TasteBrain, text: str = "what time is it") -> list:
    brain.prefill(brain.tokenize(text, noise(1, -20)))
    return list(brain.reply())


def history(brain: TasteBrain) -> list[tuple[str, list[int], list]]:
    return [
        (s.role, s.text_ids[0].tolist(), [] if s.taste_ids is None else s.taste_ids[0].tolist())
        for s in brain.conversation.segments
    ]


def test_a_reply_has_words_and_their_sound(make):
    brain = make()
    items = ask(brain)
    sounds = [brain.speak(item) for item in items]
    words = [word.text for item in items for word in item.words]
    assert words
    assert [w.text for sound in sounds for w in sound.words] == words
    ends = [w.end for sound in sounds for w in sound.words]
    assert ends == sorted(ends)
    assert abs(ends[-1] - sum(len(sound.samples) for sound in sounds)) < 800
    assert items[-1].complete
    assert not any(item.complete for item in items[:-1])


def test_warming_up_leaves_no_trace(make):
    cold, warm = make("dialog.system_prompt=be kind"), make("dialog.system_prompt=be kind")
    before = history(warm)
    warm.warm_up()
    assert history(warm) == before
    sounds = []
    for brain in (cold, warm):
        items = ask(brain)
        sounds.append(np.concatenate([brain.speak(item).samples for item in items]))
        assert items[-1].complete
    assert history(warm) == history(cold)
    np.testing.assert_allclose(*sounds, atol=1e-4)


@pytest.mark.parametrize(("small", "warmed"), [(1 << 40, 1), (0, 0)])
def test_a_small_checkpoint_is_warmed_up_when_it_is_loaded(tiny_checkpoint, monkeypatch, small, warmed):
    calls = []
    monkeypatch.setattr(TasteBrain, "warm_up", lambda self, speaks: calls.append(self))
    monkeypatch.setattr(taste_brain, "SMALL_MODEL_PARAMETERS", small)
    overrides = (f"model.checkpoint={tiny_checkpoint}", "model.device=cpu")
    taste_brain.load_brain(load_settings(None, overrides, environment={}).settings)
    assert len(calls) == warmed


def test_the_history_keeps_the_heard_words_only(make):
    brain = make()
    words = [word.text for item in ask(brain) for word in item.words]
    before = history(brain)
    brain.settle(2)
    cut = history(brain)
    assert cut[:-1] == before[:-1]
    assert cut[-1][1] == before[-1][1][: len(cut[-1][1])]
    decode = brain.conversation.tokenizer.decode
    assert "".join(decode(cut[-1][1]).split()) == "".join("".join(words[:2]).split())
    assert brain.conversation.unspoken is not None


def test_after_a_cut_it_goes_on_like_a_conversation_that_never_said_more(make):
    brain, fresh = make("sampling.text_top_p=0"), make("sampling.text_top_p=0")
    ask(brain)
    brain.settle(2)
    for segment in brain.conversation.segments:
        fresh.conversation.append(segment)
    first, second = ([item.words for item in ask(b, "please tell me something")] for b in (brain, fresh))
    assert first == second


def test_discarding_takes_back_the_question_and_the_reply(make):
    brain = make("dialog.system_prompt=you are kind")
    start = history(brain)
    assert [role for role, *_ in start] == ["system"]
    ask(brain)
    brain.discard()
    assert history(brain) == start
    brain.prefill(brain.tokenize("yes", noise(1, -20)))
    items = brain.reply()
    next(items)
    items.close()
    brain.discard()
    assert history(brain) == start


def test_what_is_forgotten_is_as_if_it_had_never_been_said(make):
    brain, other = make(), make()
    ask(brain, "my name is anna")
    brain.settle(2)
    forgotten = brain.conversation.segments
    for one in (brain, other):
        ask(one, "what time is it")
        one.settle(2)
    kept = brain.conversation.segments[len(forgotten) :]
    brain.prefill(brain.tokenize("and then", noise(1, -20)))
    brain.forget(forgotten)
    assert brain.conversation.segments == kept
    brain.discard()
    assert [role for role, *_ in history(brain)] == [role for role, *_ in history(other)]


def test_a_note_tells_the_model_that_it_was_cut(make):
    brain = make("barge_in.cut_note=the user said stop")
    ask(brain)
    brain.settle(1)
    assert history(brain)[-1][0] == "system"
    whole = make("barge_in.cut_note=the user said stop")
    count = sum(len(item.words) for item in ask(whole))
    whole.settle(count)
    assert history(whole)[-1][0] == "assistant"


@pytest.mark.parametrize("timing", ["growing", "clause", "words"])
def test_emit_timing_is_the_settings(timing):
    settings = load_settings(
        overrides=[f"emit.timing={timing}", "emit.words_per_chunk=3", "emit.max_words_per_chunk=5"],
        environment={},
    ).settings
    decide = emit_timing(settings.emit)
    due = {n: decide(EmitContext(("a,",) * n, 0, 0, 1.0)) for n in range(1, 7)}
    assert due[5]
    assert due[1] is (timing == "clause")
    assert due[2] is (timing == "clause")


def test_settings_of_a_file_reach_the_sampler(make, tmp_path, monkeypatch):
    file = tmp_path / "my.yaml"
    file.write_text("sampling: {text_top_p: 0.77, text_temperature: 1.7, repetition_penalty: 2.5}\n")
    seen = []
    original = generator.sample_text

    def spy(logits, banned, spoken_ids, sampling, draws):
        seen.append((sampling.top_p, sampling.temperature, sampling.repetition_penalty))
        return original(logits, banned, spoken_ids, sampling, draws)

    monkeypatch.setattr(generator, "sample_text", spy)
    ask(make(file=file))
    assert set(seen) == {(0.77, 1.7, 2.5)}


def texts(brain: TasteBrain) -> list[str]:
    return [word.text for item in ask(brain) for word in item.words]


def test_settings_change_what_is_said_as_they_should(make):
    free = ["sampling.text_top_p=1", "sampling.repetition_penalty=1"]
    cold = [texts(make(*free, "sampling.text_temperature=0.00001", f"sampling.seed={s}")) for s in range(3)]
    assert (
        cold[0] == cold[1] == cold[2] == texts(make("sampling.text_top_p=0", "sampling.repetition_penalty=1"))
    )
    hot = [texts(make(*free, "sampling.text_temperature=3", f"sampling.seed={s}")) for s in range(3)]
    assert hot[0] != hot[1]
    kinds = {}
    for penalty in (0.5, 1, 10):
        cold_brain = make(
            "sampling.text_top_p=1",
            "sampling.text_temperature=0.001",
            f"sampling.repetition_penalty={penalty}",
        )
        tokens = [i for item in ask(cold_brain) for word in item.words for i in word.ids]
        kinds[penalty] = len(set(tokens)) / len(tokens)
    assert kinds[0.5] <= kinds[1] < kinds[10]


def test_same_seed_same_reply_and_sound(make):
    def sound(brain: TasteBrain) -> np.ndarray:
        return np.concatenate([brain.speak(item).samples for item in ask(brain)])

    assert np.array_equal(sound(make()), sound(make()))


def test_voices(tiny_processor):
    voices = tiny_processor.voices()
    assert torch.equal(speaker_embedding(tiny_processor, ""), next(iter(voices.values())))
    assert torch.equal(speaker_embedding(tiny_processor, "ben"), voices["ben"])


def test_a_turn_that_fills_the_memory_and_is_taken_back_leaves_the_history_as_it_was(make):
    brain = make("dialog.system_prompt=be kind", "dialog.max_history_tokens=60")
    ask(brain)
    brain.settle(1)
    before = history(brain)
    brain.prefill([brain.text_segment("tell me a very long story " * 12)])
    assert len(brain.conversation.segments) < len(before) + 1  # it had to make room
    next(brain.reply())
    brain.discard()
    assert history(brain) == before


@pytest.mark.parametrize("note", ["", "you were cut off"])
def test_a_cut_reply_goes_on_with_the_words_that_it_would_have_said(make, note):
    greedy = ("sampling.text_top_p=0", f"barge_in.cut_note={note}")
    brain = make(*greedy)
    words = texts(brain)
    brain.settle(len(words))
    whole = history(brain)
    cut = make(*greedy)
    ask(cut)
    cut.settle(2)
    cut.prefill([cut.text_segment("hm")])
    cut.discard()
    rest = [word.text for item in cut.go_on() for word in item.words]
    assert words == [*words[:2], *rest]
    cut.settle(len(rest))
    assert history(cut) == whole
    cut.settle(1)
    assert history(cut)[1][1] == whole[1][1][: len(history(cut)[1][1])]


def test_no_longer_history_than_the_checkpoint_bears_can_be_set(make):
    with pytest.raises(AgentError, match=r"max_history_tokens is 4096; this checkpoint allows at most 2048"):
        make("dialog.max_history_tokens=4096")


def test_a_whole_session_is_reproducible_and_its_history_is_what_was_heard(make):
    audio = track(
        silence(0.5), spoken("what time is it"), silence(2.2), spoken("please tell me something"), silence(1)
    )
    done, again = (
        run_session(audio, make(), "replay.fixed.word_ms=10", "replay.fixed.detokenize_ms=50")
        for _ in range(2)
    )
    assert [e.to_json() for e in done.events] == [e.to_json() for e in again.events]
    assert np.array_equal(done.audio, again.audio)
    assert len(done.audio) > 3 * RATE
    decode = done.brain.conversation.tokenizer.decode
    said = [decode(s.text_ids[0].tolist()) for s in done.brain.conversation.segments if s.role == "assistant"]
    heard: dict[int, list[str]] = {}
    for event in done.events:
        if event.kind == "word_heard":
            heard.setdefault(event.generation, []).append(event.text)
    assert ["".join(text.split()) for text in said] == ["".join("".join(h).split()) for h in heard.values()]


def test_speech_of_more_words_than_the_model_takes_comes_in_parts(make):
    """25 s of fast and long words."""
    brain = make()
    words = [f"strawberries{'abcdefghij'[number % 10]}" for number in range(60)]
    segments = brain.tokenize(" ".join(words), noise(12, -20))
    assert len(segments) == 2
    said = [brain.conversation.tokenizer.decode(segment.text_ids[0]).strip() for segment in segments]
    assert " ".join(said) == " ".join(words)
    brain.prefill(segments)
    assert list(brain.reply())


@pytest.mark.parametrize(("prompt", "told"), [("", 0), ("Answer briefly.", 1)])
def test_a_system_prompt_that_the_checkpoint_cannot_follow_is_told(make, prompt, told, monkeypatch):
    brain = make(f"dialog.system_prompt={prompt}")
    assert len(brain.notices) == told
    assert all("does not reliably follow a system prompt" in text for text in brain.notices)
    trained = brain.conversation.config.model_copy(update={"follows_system_prompt": True})
    brain.conversation.config = trained
    assert brain.notices == ()


def test_words_alone_need_no_voice(make, monkeypatch):
    monkeypatch.setattr(taste_brain, "StreamingDetokenizer", lambda *_, **__: pytest.fail("a voice is made"))
    brain = make()
    brain.warm_up(speaks=False)
    assert any(item.words for item in ask(brain))


def test_an_answer_that_is_taken_back_leaves_no_trace(make):
    plain, other = make("sampling.text_top_p=0.9"), make("sampling.text_top_p=0.9")
    expected = [(item, plain.speak(item)) for item in ask(plain)]
    other.prefill(other.tokenize("what time is it", noise(1, -20)))
    begun = other.reply()
    other.speak(next(begun))
    begun.close()
    other.take_back()
    answered = [(item, other.speak(item)) for item in other.reply()]
    assert [item for item, _ in answered] == [item for item, _ in expected]
    for (_, sound), (_, wanted) in zip(answered, expected, strict=True):
        assert np.array_equal(sound.samples, wanted.samples)
