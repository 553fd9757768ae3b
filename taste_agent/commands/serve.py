"""Serves the agent to browsers and other programs."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from taste_agent.commands.checks import check_names
from taste_agent.config import AgentSettings
from taste_agent.dialog.first_use import announce_first_use
from taste_agent.errors import AgentError


@dataclass(frozen=True)
class ServeArguments:
    """What the command line says beside the settings; see `taste-agent serve --help`."""

    host: str
    port: int
    max_sessions: int | None
    token: str
    origins: tuple[str, ...]
    session_s: float
    idle_s: float
    ray_address: str = ""
    replicas: str = "1:1"


def serve_sessions(settings: AgentSettings, arguments: ServeArguments) -> None:
    """Load the model and serve until a signal comes, which is raised again at the end.

    Raises:
        AgentError: a package is missing, the port is taken, or the server would be open without a token.
        TasteError: the model cannot be loaded.
    """
    try:
        from taste_agent.serve.access import Access
        from taste_agent.serve.limits import Limits
        from taste_agent.serve.mind import load_served_model
        from taste_agent.serve.server import ServeOptions, serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("taste_"):
            raise
        raise AgentError(
            f"the package {error.name} is missing; install it with pip install 'taste-agent[serve]'"
        ) from error
    access = Access(arguments.host, arguments.token, arguments.origins)
    access.check()  # before the model takes its time
    check_names(settings)
    announce_first_use(settings.model)
    limits = Limits(session_s=arguments.session_s, idle_s=arguments.idle_s)
    options = ServeOptions(access, arguments.port, arguments.max_sessions, limits)
    if arguments.ray_address:
        from taste_agent.serve.ray_cluster import Cluster, replicas, serve_on_ray

        cluster = Cluster(arguments.ray_address, *replicas(arguments.replicas))
        serve_on_ray(cluster, settings, options, load_served_model, _tell)
        return
    serve(lambda: load_served_model(settings), settings, options, _tell)


def _tell(line: str) -> None:
    typer.echo(line, err=True)
