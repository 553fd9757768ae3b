"""`python -m taste_speech.training evaluate`: the whole table from scratch."""

import datetime
import logging
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import torch
from safetensors.numpy import load_file

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.training.corpus.dialogues.talks import Turn
from taste_speech.training.evaluation import (
    dialogue,
    number_types,
    pace,
    prosody,
    recognition,
    streaming,
    table,
    voice,
)
from taste_speech.training.evaluation.judge import Judge
from taste_speech.training.evaluation.material import (
    Spoken,
    cut_off_turns,
    held_out_talks,
    in_fresh_voices,
    murmurs_in_fresh_voices,
    reply_voice_sentences,
    shuffled,
)
from taste_speech.training.evaluation.table import Part, Row
from taste_speech.training.stages.units import Settings as UnitSettings
from taste_speech.training.stages.units import UnitQuantizer

logger = logging.getLogger(__name__)
PARTS = ("size", "voice", "streaming", "number_types", "recognition", "dialogue")
STREAMED_SENTENCES = 50
NUMBER_TYPE_SENTENCES = 40
PACED_ITEMS = 40
READY_STARTS = 5
"""One start takes up to half as long again as the next."""
_READY = (
    "import time; t = time.perf_counter()\n"
    "from taste_speech import TasteForCausalLM, TasteProcessor\n"
    "import sys\n"
    "model = TasteForCausalLM.from_pretrained(sys.argv[1])\n"
    "processor = TasteProcessor.from_pretrained(sys.argv[1])\n"
    "processor.get_generator('cpu'); processor.recognizer().start()\n"
    "print(time.perf_counter() - t)"
)


def evaluate(
    checkpoint: Path,
    workdir: Path | None,
    sentences: int,
    questions: int,
    threads: int,
    only: Sequence[str] = (),
) -> list[Part]:
    """Measure a checkpoint folder and write `evaluation.json` and the table in its model card.

    Args:
        checkpoint: folder.
        workdir: folder of the training run, for the quantizer of natural speech into units; None: that row
            is left out.
        sentences: unseen sentences in the reply voice.
        questions: held-out questions, each in one fresh voice, once clean and once noisy.
        threads: of torch.
        only: parts to measure, of `PARTS`; of the others, earlier figures of the same weights are kept.
            Empty: everything.

    Returns:
        All parts that are known of these weights.
    """
    torch.set_num_threads(threads)

    @cache
    def loaded() -> tuple[Judge, TasteForCausalLM, TasteProcessor]:
        """On first use: how large a checkpoint is can be measured without."""
        return Judge(), *number_types.load(checkpoint)

    parts: dict[str, Callable[[], list[Row]]] = {
        "size": lambda: _size_rows(checkpoint),
        "voice": lambda: _voice_rows(*loaded(), workdir, sentences),
        "streaming": lambda: _streaming_rows(*loaded(), sentences),
        "number_types": lambda: _number_type_rows(loaded()[0], checkpoint, sentences, questions),
        "recognition": lambda: _recognition_rows(loaded()[2], questions),
        "dialogue": lambda: _dialogue_rows(*loaded(), questions),
    }
    command = command_line(sentences, questions, threads, workdir is not None, only)
    known: list[Part] = []
    for name in only or PARTS:
        logger.info("measuring: %s", name)
        known = table.write([Part(name, parts[name](), datetime.date.today(), command)], checkpoint, PARTS)
    return known


def command_line(
    sentences: int, questions: int, threads: int, has_run_folder: bool, only: Sequence[str] = ()
) -> str:
    """The command with everything that the figures depend on, defaults too; folders go by what they are."""
    options = ["--run-folder RUN_FOLDER"] if has_run_folder else []
    options += [f"--sentences {sentences}", f"--questions {questions}", f"--threads {threads}"]
    options += [f"--only {part}" for part in only]
    return " ".join(["python -m taste_speech.training evaluate", *options])


def _size_rows(checkpoint: Path) -> list[Row]:
    files = [file for file in checkpoint.rglob("*") if file.is_file()]
    megabytes = [file.stat().st_size / 1e6 for file in files]
    command = [sys.executable, "-c", _READY, str(checkpoint)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(READY_STARTS)]
    ready_s = statistics.median(float(run.stdout.split()[-1]) for run in runs)
    return [
        Row("size", sum(megabytes), "MB", 40, False, len(files)),
        Row("largest file", max(megabytes), "MB", 15, False, len(files)),
        Row("ready to use, imports included (median)", ready_s, "s", 3, False, len(runs)),
    ]


def _voice_rows(
    judge: Judge, model: TasteForCausalLM, processor: TasteProcessor, workdir: Path | None, count: int
) -> list[Row]:
    spoken = reply_voice_sentences(count)
    speaker = next(iter(processor.voices().values()))
    natural = voice.error_rate(judge, spoken, [s.samples for s in spoken])
    rows = [Row("natural reply voice: word error", natural, "%", None, False, len(spoken))]
    rows += voice.vocoder_rows(judge, processor, spoken, natural)
    if workdir is not None:
        quantizer = UnitQuantizer(load_file(workdir / "units" / "quantizer.safetensors"), UnitSettings())
        resynthesise = partial(voice.resynthesise_units, processor, quantizer, speaker)
        sounds = voice.draw(resynthesise, spoken)
        rows.append(voice.error_row("units -> mel -> wave: word error", judge, spoken, sounds, natural + 3))
    retold, bare = (
        voice.draw(partial(voice.retell, by, processor, speaker), spoken)
        for by in (model, voice.text_only(model))
    )
    rows += [
        voice.error_row("tokenize -> detokenize: word error", judge, spoken, retold, natural + 8),
        voice.error_row("the same from text alone: word error", judge, spoken, bare),
    ]
    rows += prosody.rows(judge, spoken, retold[0], bare[0])
    questions = [turn.text for turn in _questions(count)[0][:PACED_ITEMS]]
    return rows + pace.rows(model, processor, speaker, [s.text for s in spoken[:PACED_ITEMS]], questions)


def _streaming_rows(
    judge: Judge, model: TasteForCausalLM, processor: TasteProcessor, count: int
) -> list[Row]:
    spoken = reply_voice_sentences(min(count, STREAMED_SENTENCES))
    speaker = next(iter(processor.voices().values()))
    return streaming.rows(judge, model, processor, speaker, spoken)


def _number_type_rows(judge: Judge, checkpoint: Path, sentences: int, questions: int) -> list[Row]:
    spoken = reply_voice_sentences(min(sentences, NUMBER_TYPE_SENTENCES))
    return number_types.rows(judge, checkpoint, spoken, _questions(questions)[0])


def _questions(count: int) -> tuple[list[Turn], list[Turn]]:
    """Finished and unfinished user turns in paraphrases that training left out."""
    turns = [talk.turns[0] for talk in shuffled(held_out_talks(count), 3)]
    return [turn for turn in turns if turn.role == "user"], cut_off_turns(count // 3)


def _recognition_rows(processor: TasteProcessor, count: int) -> list[Row]:
    config = processor.config.recognition
    names = ["pocketsphinx", *(["ctc", "combined"] if config.acoustic_model else [])]
    recognizers = {name: processor.recognizer(name) for name in names}
    default = recognizers.get(config.backend) or processor.recognizer()
    finished, unfinished = _questions(count)
    rows: list[Row] = []
    for noisy, suffix in ((False, ""), (True, ", noisy")):
        clips = in_fresh_voices([turn.text for turn in finished + unfinished], noisy)
        rows += recognition.rows(recognizers, clips, suffix)
        murmurs = murmurs_in_fresh_voices(count, noisy)
        rows.append(recognition.murmur_row(default, murmurs, suffix))
    return rows


def _dialogue_rows(judge: Judge, model: TasteForCausalLM, processor: TasteProcessor, count: int) -> list[Row]:
    finished, unfinished = _questions(count)
    rows: list[Row] = []
    speaker = dialogue.Speaker(model, processor, processor.recognizer())
    for noisy, suffix in ((False, ""), (True, ", noisy")):
        clips: list[Spoken] = in_fresh_voices([turn.text for turn in finished + unfinished], noisy)
        pairs = list(zip(finished + unfinished, clips, strict=True))
        replies = [speaker.reply(turn, clip, aloud=not noisy) for turn, clip in pairs]
        rows += dialogue.rows(judge, replies[: len(finished)], replies[len(finished) :], suffix)
    return rows
