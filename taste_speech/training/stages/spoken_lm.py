"""Stage `spoken_lm`: TASTE stage 2, the spoken language model on talks in the streaming layout.

Text needs no other stage, so this one may start first: until the taste tokens of `autoencoder` are final, all
words carry the pad embedding; started again after that, it goes on with taste tokens and their loss, and
after `phones` with the errors of the run's own recogniser.
"""

import logging
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.audio_tower.tower import AudioTower
from taste_speech.configuration_base import StrictSection
from taste_speech.recognition.ctc import CtcRecognizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.streaming.layout import PromptFormat
from taste_speech.training import tokenizers
from taste_speech.training.answering import answer, prompts, rates
from taste_speech.training.batching import LengthBatches
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.augmentation import augment
from taste_speech.training.corpus.dialogues.murmurs import murmured
from taste_speech.training.corpus.dialogues.talks import Talk, make_questions, make_talks
from taste_speech.training.corpus.recognition_model import (
    DICTIONARY_NAME,
    LANGUAGE_MODEL_NAME,
    first_pronunciations,
    recognition_sentences,
)
from taste_speech.training.dialogue_loss import talk_losses
from taste_speech.training.dialogue_rows import NoTaste, TalkEncoder, TalkRows, TasteSource
from taste_speech.training.heard import Confusions, is_understood, misheard_talks, read_pairs, write_heard
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.mishearing import Mishearing, rival_words, sound_alikes
from taste_speech.training.stages.autoencoder import final_tower
from taste_speech.training.stages.phones import OUTPUT_NAME, trained_weights, write_recogniser
from taste_speech.training.taste_bank import Source, TasteBank, in_manner, is_bank_of, write_bank

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of stage 2."""

    loop: LoopSettings = LoopSettings()
    stores: dict[str, list[str]] = {"assistant": ["plain"], "user": ["murmurs", "listeners"]}
    """Recordings whose taste tokens stand for each role's speech. Those of the assistant are its answers in
    the voice's plain manner: of clips in all manners the LM learns a mean that is slower than any."""
    paced_stores: list[str] = ["paced"]
    """Recordings at any pace: the slow and the fast ones stand for what the assistant is to say so."""
    clips_per_role: int = 4000
    batch_rows: int = 2000
    talks_at_once: int = 2000
    """Talks that are written, sorted by length and trained on before the next ones are written."""
    questions_part: float = 0.3
    """Fraction of the talks that are a single question, so that all kinds come about equally often."""
    other_weight: float = 0.1
    """Weight of text that is not the assistant's."""
    mishearing: float = 0.06
    """Probability that an unimportant word of a spoken user turn is changed."""
    murmured: float = 0.06
    """Probability of a murmur of the user after an answer, to which nothing is to be said."""
    sound_alike: float = 0.15
    """Probability that a word of a spoken user turn becomes another that sounds nearly alike."""
    heard_turns: int = 7500
    """Spoken turns of which the recogniser's errors are taken, once stage `phones` has finished."""
    misheard_part: float = 0.08
    """Fraction of the talks that are such a turn as it was recognised, with errors."""
    label_smoothing: float = 0.02
    taste_weight: float = 0.5
    """Of the taste loss; the text has the rest."""
    evaluated_talks: int = 24
    seed: int = 1


class SpokenLMTraining(nn.Module):
    """The LM, and the quantizer that turns taste tokens into its inputs and targets."""

    def __init__(self, lm: SpokenLM, quantizer: ResidualQuantizer) -> None:
        super().__init__()
        self.lm, self.quantizer = lm, quantizer.requires_grad_(False)


def talk_batches(
    settings: Settings, encoder: TalkEncoder, misheard: Sequence[Talk], first_seed: int
) -> Iterator[list[TalkRows]]:
    """Endless batches of freshly written talks, and some of `misheard`."""
    seed = first_seed
    while True:
        seed += 1
        rng = random.Random(seed)
        generator = torch.Generator().manual_seed(seed)
        n_questions = int(settings.talks_at_once * settings.questions_part)
        talks = make_talks(settings.talks_at_once - n_questions, seed, "train")
        talks += make_questions(n_questions, seed, "train")
        if misheard:
            talks += rng.choices(misheard, k=int(settings.talks_at_once * settings.misheard_part))
        talks = [murmured(talk, settings.murmured, rng) for talk in talks if talk.turns]
        items = [encoder.rows(talk, rng) for talk in talks]
        batches = LengthBatches([len(item.text_ids) for item in items], settings.batch_rows)
        for chosen in batches.one_pass(generator):
            yield [items[i] for i in chosen]


def taste_source(settings: Settings, context: StageContext, quantizer: ResidualQuantizer) -> TasteSource:
    """Taste tokens of the corpus and the weights of their quantizer, once these are final.

    They are kept in a file, and made anew when the tower has changed.
    """
    trained = final_tower(context)
    if trained is None:
        return NoTaste()
    sections = context.config.audio_tower_config
    tower = AudioTower(
        context.config.tower, sections.kwargs_for_joint_encoder_segmenter, sections.kwargs_for_quantizer
    )
    tower.load_state_dict(trained)
    quantizer.load_state_dict(tower.quantizer.state_dict())
    path = context.folder("spoken_lm") / "tastes.jsonl"
    sources = _taste_sources(settings, context)
    if not is_bank_of(path, tower, sources):
        asr = tokenizers.load(context.folder("tokenizers") / "asr")
        rng = np.random.default_rng(settings.seed)
        write_bank(
            path,
            tower.eval(),
            sources,
            lambda word: asr(f" {word}", add_special_tokens=False)["input_ids"],
            lambda samples: augment(samples, rng).astype(np.float32),
        )
    return TasteBank(path)


def _taste_sources(settings: Settings, context: StageContext) -> list[Source]:
    def stores(names: Sequence[str]) -> list[AudioStore]:
        return [AudioStore(context.folder("corpus") / name) for name in names]

    plain = [
        in_manner(role, "", stores(names), settings.clips_per_role) for role, names in settings.stores.items()
    ]
    paced = stores(settings.paced_stores)
    return plain + [in_manner("assistant", pace, paced) for pace in ("slow", "fast")]


def heard_turns(settings: Settings, context: StageContext) -> list[tuple[list[str], list[str]]]:
    """What was said and what the run's own recogniser wrote, of many turns; none before `phones`."""
    path = context.folder("spoken_lm") / "heard.jsonl"
    if settings.heard_turns and not path.exists() and (recognizer := own_recognizer(context)) is not None:
        write_heard(path, recognizer, settings.heard_turns)
    return read_pairs(path) if path.exists() else []


def mishearing(settings: Settings, pairs: Sequence[tuple[list[str], list[str]]]) -> Mishearing:
    """What recognition does to the turns of training."""
    if not settings.sound_alike and not pairs:
        return Mishearing(settings.mishearing)
    sentences = [text.split() for text in recognition_sentences()]
    phones = first_pronunciations(word for words in sentences for word in words)
    rivals = rival_words(sentences)
    alike = sound_alikes(phones, rivals)
    understood = [pair for pair in pairs if is_understood(*pair)]
    return Mishearing(settings.mishearing, settings.sound_alike, alike, Confusions(understood, rivals))


def own_recognizer(context: StageContext) -> CtcRecognizer | None:
    """The recogniser of this run; None before stage `phones`."""
    tower = context.config.tower
    if tower is None or trained_weights(context) is None:
        return None
    folder = context.folder("spoken_lm") / "recognition"
    write_recogniser(folder, context, recognition_sentences())
    ngrams, words = folder / LANGUAGE_MODEL_NAME, folder / DICTIONARY_NAME
    return CtcRecognizer(folder / OUTPUT_NAME, ngrams, words, context.config.recognition.acoustic, tower)


def run(settings: Settings, context: StageContext) -> None:
    """Train; writes `spoken_lm.safetensors`."""
    folder, config = context.folder("spoken_lm"), context.config
    tokenizer = tokenizers.load(context.folder("tokenizers") / "llama_tokenizer")
    fmt = PromptFormat.from_config(config, tokenizer)
    torch.manual_seed(settings.loop.seed)
    quantizer = ResidualQuantizer(config.audio_tower_config.kwargs_for_quantizer)
    module = SpokenLMTraining(SpokenLM(config), quantizer)
    loop = TrainingLoop("spoken_lm", folder, module, settings.loop)
    loop.resume()
    tastes = taste_source(settings, context, quantizer)
    pairs = heard_turns(settings, context)
    encoder = TalkEncoder(fmt, tokenizer, tastes, settings.other_weight, mishearing(settings, pairs))
    misheard = misheard_talks(pairs, frozenset(recognition_sentences())) if pairs else []
    batches = talk_batches(settings, encoder, misheard, 1000 * settings.seed + loop.step)
    plain = TalkEncoder(fmt, tokenizer, tastes)
    unseen = evaluation_prompts(settings)

    def compute_losses(_step: int, generator: torch.Generator) -> Losses:
        losses = talk_losses(module.lm, quantizer, next(batches), settings.label_smoothing, generator)
        if "taste" in losses:
            losses["text"] = losses["text"] * (1 - settings.taste_weight)
            losses["taste"] = losses["taste"] * settings.taste_weight
        return losses

    def evaluate() -> dict[str, float]:
        return rates([answer(module.lm, quantizer, plain, prompt) for prompt in unseen])

    def write() -> None:
        # The head shares the embedding, but tensors of a file may not share memory.
        state = {name: value.clone() for name, value in module.lm.state_dict().items()}
        save_file(state, folder / "spoken_lm.safetensors")

    loop.run(compute_losses, evaluate, write)


def evaluation_prompts(settings: Settings) -> list[Talk]:
    """Prompts of the validation split: single questions, whole talks, and unfinished turns."""
    count = settings.evaluated_talks
    talks = make_talks(8 * count, 1, "valid")
    unfinished = [talk for talk in talks if talk.turns and not talk.turns[-1].finished][: count // 2]
    asked = prompts([*make_questions(2 * count, 1, "valid"), *talks[:count]])
    return [prompt for prompt in asked if prompt.turns[-1].finished] + unfinished
