"""The commands `taste-agent config ...`. Nothing heavy is imported before it is needed."""

from pathlib import Path
from typing import Annotated

import typer

from taste_agent.cli_options import ConfigOption, DebugOption, SetOption
from taste_agent.errors import SettingsError

config_app = typer.Typer(help="Show, write or check the settings.", no_args_is_help=True)


@config_app.command("show")
def config_show(config: ConfigOption = None, overrides: SetOption = None, debug: DebugOption = False) -> None:
    """Print the settings in effect and where each comes from.

    Example: TASTE_AGENT_SAMPLING__TEXT_TOP_P=0.5 taste-agent config show --config my.yaml
    """
    from taste_agent.config.sources import load_settings, settings_lines

    lines = list(settings_lines(load_settings(config, overrides or ())))
    width = max(len(f"{name}: {value}") for name, value, _ in lines if len(value) < 40)
    for name, value, origin in lines:
        typer.echo(f"{f'{name}: {value}':<{width}}  # {origin}")


@config_app.command("init")
def config_init(
    path: Annotated[Path, typer.Argument(metavar="FILE", hidden=True)] = Path("taste-agent.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    debug: DebugOption = False,
) -> None:
    """Write a commented settings file with all defaults.

    FILE is taste-agent.yaml by default.

    Example: taste-agent config init my.yaml
    """
    from taste_agent.config.sources import default_file_text

    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(default_file_text())
    except FileExistsError:
        raise SettingsError(f"{path} already exists; name another file or give --force") from None
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}; name another file") from None
    typer.echo(f"wrote {path}")


@config_app.command("check")
def config_check(
    path: Annotated[Path, typer.Argument(metavar="FILE", hidden=True)], debug: DebugOption = False
) -> None:
    """Check a settings file and list everything that is wrong with it.

    Example: taste-agent config check my.yaml
    """
    from taste_agent.config.sources import load_settings, mistakes_in

    mistakes = mistakes_in(path)
    for mistake in mistakes:
        typer.echo(mistake)
    if mistakes:
        raise SettingsError(f"{path} has {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}")
    changed = load_settings(path, environment={}).origins
    typer.echo(f"{path} is valid; it sets {len(changed)} settings")
