"""`python -m taste_speech.training run RECIPE [--stage NAME]` and `evaluate`."""

import datetime
import importlib
import logging
from pathlib import Path
from typing import Annotated

import typer

import taste_speech
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.config import STAGES, Recipe, StageContext

SHIPPED = Path(taste_speech.__file__).parent / "checkpoints" / "small"
app = typer.Typer(help="Train and evaluate a TASTE checkpoint.", no_args_is_help=True)


@app.command()
def run(
    recipe_file: Annotated[Path, typer.Argument(help="Recipe, for example configs/train/small.yaml.")],
    stage: Annotated[list[str] | None, typer.Option(help="Only this stage (may be repeated).")] = None,
    workdir: Annotated[Path | None, typer.Option(help="Overrides the recipe's workdir.")] = None,
) -> None:
    """Run all stages of a recipe in order, or some; a stage that was stopped is resumed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    recipe = Recipe.read(recipe_file)
    unknown = sorted(set(stage or []) - set(STAGES))
    if unknown:
        raise typer.BadParameter(f"unknown stage {unknown[0]!r}; the stages are: {', '.join(STAGES)}")
    root = (workdir or recipe.workdir) / recipe.name
    context = StageContext(root=root, config=TasteConfig(**recipe.model))
    for name in STAGES:
        if stage and name not in stage:
            continue
        module = importlib.import_module(f"taste_speech.training.stages.{name}")
        settings = module.Settings.model_validate(recipe.stages.get(name, {}))
        logging.getLogger(__name__).info("stage %s in %s", name, context.folder(name))
        module.run(settings, context)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder.")] = SHIPPED,
    run_folder: Annotated[
        Path | None, typer.Option(help="Folder of the training run (for the row on speech units).")
    ] = None,
    sentences: Annotated[int, typer.Option(min=1, help="Unseen sentences in the reply voice.")] = 100,
    questions: Annotated[int, typer.Option(min=1, help="Held-out questions.")] = 200,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Measure a checkpoint; writes evaluation.json and the table in its model card."""
    from taste_speech.training.evaluation.run import evaluate as measure
    from taste_speech.training.evaluation.table import as_markdown

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    rows = measure(checkpoint, run_folder, sentences, questions, threads)
    typer.echo(as_markdown(rows, datetime.date.today()))


if __name__ == "__main__":
    app()
