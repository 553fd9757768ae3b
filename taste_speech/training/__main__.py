"""`python -m taste_speech.training run RECIPE [--stage NAME]` and `evaluate`."""

import importlib
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

import taste_speech
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.config import STAGES, Recipe, StageContext

SHIPPED = Path(taste_speech.__file__).parent / "checkpoints" / "small"
DEMO_QUESTION = Path(taste_speech.__file__).parents[1] / "taste_agent" / "demo" / "question.wav"
app = typer.Typer(help="Train and evaluate a TASTE checkpoint.", no_args_is_help=True)


@app.command()
def run(
    recipe_file: Annotated[Path, typer.Argument(help="Recipe, for example configs/train/small.yaml.")],
    stage: Annotated[list[str] | None, typer.Option(help="Only this stage (may be repeated).")] = None,
    workdir: Annotated[Path | None, typer.Option(help="Overrides the recipe's workdir.")] = None,
) -> None:
    """Run all stages of a recipe in order, or some; a stage that was stopped is resumed.

    Told to stop, it runs no further stage: those would take parts that are half made.
    """
    from taste_speech.training.loop import StoppedError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    recipe = Recipe.read(recipe_file)
    unknown = sorted(set(stage or []) - set(STAGES))
    if unknown:
        raise typer.BadParameter(f"unknown stage {unknown[0]!r}; the stages are: {', '.join(STAGES)}")
    context = _context(recipe, workdir)
    for name in STAGES:
        if stage and name not in stage:
            continue
        module = importlib.import_module(f"taste_speech.training.stages.{name}")
        settings = module.Settings.model_validate(recipe.stages.get(name, {}))
        logging.getLogger(__name__).info("stage %s in %s", name, context.folder(name))
        try:
            module.run(settings, context)
        except StoppedError as stopped:
            raise _told_to_stop(str(stopped), stopped.signal_number) from None
        except KeyboardInterrupt:
            made = f"stage {name} was stopped; what it has made is in {context.folder(name)}"
            raise _told_to_stop(made, signal.SIGINT) from None


def _told_to_stop(what: str, signal_number: int) -> typer.Exit:
    """Says what is saved; the exit code is the one that a shell gives to a process ended by the signal."""
    typer.echo(f"{what}; to go on, run the same command again", err=True)
    return typer.Exit(128 + signal_number)


@app.command()
def restore(
    recipe_file: Annotated[Path, typer.Argument(help="Recipe of the run that is to begin.")],
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder to begin with.")] = SHIPPED,
    workdir: Annotated[Path | None, typer.Option(help="Overrides the recipe's workdir.")] = None,
    new_taste: Annotated[
        bool, typer.Option("--new-taste", help="Learn taste tokens anew: stages tower and autoencoder.")
    ] = False,
) -> None:
    """Begin a run with the weights of a checkpoint instead of random ones (before `run`)."""
    from taste_speech.training.restore import write_initial

    for path in write_initial(checkpoint, _context(Recipe.read(recipe_file), workdir), new_taste):
        typer.echo(f"first weights: {path}")


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")] = SHIPPED,
    run_folder: Annotated[
        Path | None, typer.Option(help="Folder of the training run (for the row on speech units).")
    ] = None,
    sentences: Annotated[int, typer.Option(min=1, help="Unseen sentences in the reply voice.")] = 100,
    questions: Annotated[int, typer.Option(min=1, help="Held-out questions.")] = 200,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only one part, for example voice (may be repeated); the rest is kept."),
    ] = None,
) -> None:
    """Measure a checkpoint; writes evaluation.json and the table in its model card."""
    from taste_speech.training.evaluation.run import PARTS
    from taste_speech.training.evaluation.run import evaluate as measure
    from taste_speech.training.evaluation.table import as_markdown

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    unknown = sorted(set(only or []) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"unknown part {unknown[0]!r}; the parts are: {', '.join(PARTS)}")
    typer.echo(as_markdown(measure(checkpoint, run_folder, sentences, questions, threads, only or ())))


@app.command()
def demo_question(
    path: Annotated[Path, typer.Argument(help="The wav file to write.")] = DEMO_QUESTION,
    text: Annotated[str, typer.Option(help="What is asked.")] = "What is the capital of Italy?",
) -> None:
    """Speak the question that `make demo` answers (flite's voice slt) and write it as a wav."""
    import numpy as np
    import soundfile

    from taste_speech.training.corpus.speech import SAMPLE_RATE_HZ, Voice, speak

    speech = speak(text, Voice("slt", "flite", "slt"))
    before, after = (np.zeros(int(seconds * SAMPLE_RATE_HZ), np.int16) for seconds in (0.5, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate([before, speech, after]), SAMPLE_RATE_HZ)


def _context(recipe: Recipe, workdir: Path | None) -> StageContext:
    root = (workdir or recipe.workdir) / recipe.name
    return StageContext(root=root, config=TasteConfig(**recipe.model))


if __name__ == "__main__":
    app()
