"""`taste-agent serve`: serves the agent to browsers and other programs."""

import typer

from taste_agent.config import AgentSettings
from taste_agent.dialog.brain_loader import announce_first_use, check_names
from taste_agent.errors import AgentError
from taste_agent.serve.limits import ServeOptions


def serve_sessions(
    settings: AgentSettings, options: ServeOptions, ray_address: str = "", replica_range: str = "1:1"
) -> None:
    """Load the model and serve until a signal arrives, which is raised again at the end.

    Args:
        settings: settings of the sessions.
        options: options of the server.
        ray_address: address of a Ray cluster to serve on, `local` for a new one on this machine, or empty.
        replica_range: `MIN:MAX` replicas on the cluster.

    Raises:
        AgentError: a package is missing, the port is taken, `replica_range` is not a range, or the server
            would be open without a token.
        TasteError: the model cannot be loaded.
    """
    try:
        from taste_agent.serve.mind import load_served_model
        from taste_agent.serve.ray_cluster import Cluster, replicas, serve_on_ray
        from taste_agent.serve.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("taste_"):
            raise
        raise AgentError(
            f"the package {error.name} is missing; install it with pip install 'taste-agent[serve]'"
        ) from error
    options.access.check()  # before the model is loaded, which takes long
    cluster = Cluster(ray_address, *replicas(replica_range))
    check_names(settings)
    announce_first_use(settings.model)
    if ray_address:
        serve_on_ray(cluster, settings, options, load_served_model, _tell)
        return
    serve(lambda: load_served_model(settings), settings, options, _tell)


def _tell(line: str) -> None:
    typer.echo(line, err=True)
