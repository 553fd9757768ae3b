"""`python -m taste_speech.training run RECIPE [--stage NAME]` and `evaluate`."""

import importlib
import logging
from pathlib import Path
from typing import Annotated

import typer

from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.config import STAGES, Recipe, StageContext

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


if __name__ == "__main__":
    app()
