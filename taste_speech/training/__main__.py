"""`python -m taste_speech.training run RECIPE [--stage NAME]` and `evaluate`."""

import importlib
import logging
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

import taste_speech
from taste_speech.conversion.hub import find_checkpoint
from taste_speech.training.config import STAGES, Recipe, StageContext

SHIPPED = Path(taste_speech.__file__).parent / "checkpoints" / "small"
DEMO = Path(taste_speech.__file__).parents[1] / "taste_agent" / "demo"
EVALUATION_WORK, STYLES = Path("runs/evaluation"), Path("kokoro-js/voices")
app = typer.Typer(help="Train and evaluate a TASTE checkpoint.", no_args_is_help=True)


@app.command()
def run(
    recipe_file: Annotated[Path, typer.Argument(help="Recipe, for example configs/train/small.yaml.")],
    stage: Annotated[list[str] | None, typer.Option(help="Only this stage (may be repeated).")] = None,
    workdir: Annotated[Path | None, typer.Option(help="Folder instead of the recipe's workdir.")] = None,
) -> None:
    """Run the stages of a recipe in order, or some of them; a stage that was stopped is resumed.

    A recipe that begins with a checkpoint runs only the stages that it names: the checkpoint has the rest.
    When the process is told to stop, no further stage runs, as it would use unfinished parts.
    """
    from taste_speech.training.loop import StoppedError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    recipe = Recipe.read(recipe_file)
    unknown = sorted(set(stage or []) - set(STAGES))
    if unknown:
        raise typer.BadParameter(f"unknown stage {unknown[0]!r}; the stages are: {', '.join(STAGES)}")
    start = None if recipe.start is None else find_checkpoint(recipe.start)
    context = StageContext((workdir or recipe.workdir) / recipe.name, recipe.config(start), start)
    wanted = stage or (STAGES if recipe.start is None else recipe.stages)
    for name in STAGES:
        if name not in wanted:
            continue
        module = importlib.import_module(f"taste_speech.training.stages.{name}")
        settings = module.Settings.model_validate(recipe.stages.get(name, {}))
        logging.getLogger(__name__).info("stage %s in %s", name, context.folder(name))
        try:
            module.run(settings, context)
        except StoppedError as stopped:
            raise _told_to_stop(str(stopped), stopped.signal_number) from None
        except KeyboardInterrupt:
            made = f"stage {name} was stopped and is saved in {context.folder(name)}"
            raise _told_to_stop(made, signal.SIGINT) from None


def _told_to_stop(what: str, signal_number: int) -> typer.Exit:
    """Say what is saved; the exit code is that of a process that was ended by the signal."""
    typer.echo(f"{what}; to go on, run the same command again", err=True)
    return typer.Exit(128 + signal_number)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")] = SHIPPED,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this part, for example voice (may be repeated); other results are kept."),
    ] = None,
    work: Annotated[
        Path, typer.Option(help="Folder for sounds and raw results; a stopped run resumes there.")
    ] = EVALUATION_WORK,
    voices: Annotated[Path, typer.Option(help="Voices of the npm package kokoro-js.")] = STYLES,
    people: Annotated[Path | None, typer.Option(help="Recordings of people, with their texts.json.")] = None,
    split: Annotated[str, typer.Option(help="test, or valid during development.")] = "test",
    texts: Annotated[int, typer.Option(min=1, help="Number of texts that the voice reads.")] = 300,
    questions: Annotated[int, typer.Option(min=1, help="Number of questions to generate.")] = 200,
    linear: Annotated[str, typer.Option(help="Linear layers: as_is, float16, bfloat16 or int8.")] = "as_is",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    at_most: Annotated[
        int | None, typer.Option(min=1, help="Measure only this many items of each list, and write no table.")
    ] = None,
) -> None:
    """Measure a checkpoint; write evaluation.json and the table in its model card."""
    from taste_speech.training.evaluation.bench import Bench
    from taste_speech.training.evaluation.results import as_markdown
    from taste_speech.training.evaluation.run import PARTS
    from taste_speech.training.evaluation.run import evaluate as measure

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    unknown = sorted(set(only or []) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"unknown part {unknown[0]!r}; the parts are: {', '.join(PARTS)}")
    bench = Bench(checkpoint, work, voices, people, _split(split), texts, questions, linear, threads, at_most)
    typer.echo(as_markdown(measure(bench, only or ())))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Corpus folder, which holds the voices' networks.")],
    voices: Annotated[Path, typer.Option(help="Voices of the npm package kokoro-js.")],
    target: Annotated[Path, typer.Option(help="Folder for the recordings.")] = DEMO,
) -> None:
    """Record what `make demo` replays: a question, one outside the dialogues, an interruption."""
    from taste_speech.training.evaluation.recordings import write_demo

    for path in write_demo(folder, voices, target):
        typer.echo(path)


def _split(name: str) -> Literal["valid", "test"]:
    if name not in ("valid", "test"):
        raise typer.BadParameter(f"split is {name!r}; use valid or test")
    return "valid" if name == "valid" else "test"


if __name__ == "__main__":
    app()
