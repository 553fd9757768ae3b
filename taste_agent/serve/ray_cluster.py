"""Serves conversations on many machines with Ray Serve. A replica is a model with its sessions."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taste_agent.config import AgentSettings
from taste_agent.errors import AgentError
from taste_agent.serve.limits import ServeOptions
from taste_agent.serve.lost_replica import MIDDLEWARES, PROXY_VARIABLE
from taste_agent.serve.mind import ServedModel
from taste_agent.serve.server import Service

LOCAL = "local"
APPLICATION = "taste-agent"
FREE_SHARE = 0.8
"""When more than this share of the replicas' sessions is taken, another replica is started."""
PAGES = 16
"""Requests for the page, health and metrics that a replica answers in addition to its sessions."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster and its number of replicas.

    Attributes:
        address: address of the cluster, or `local` for a new one on this machine.
        least: fewest replicas.
        most: most replicas.
    """

    address: str
    least: int
    most: int


def replicas(text: str) -> tuple[int, int]:
    """Parse the fewest and most replicas from `MIN:MAX` or `N`.

    Raises:
        AgentError: the text is neither.
    """
    least, _, most = text.partition(":")
    try:
        found = int(least), int(most or least)
    except ValueError:
        found = (0, 0)
    if not 1 <= found[0] <= found[1]:
        raise AgentError(f"--replicas {text} is not MIN:MAX with 1 <= MIN <= MAX; give, for example, 1:4")
    return found


def connect(address: str) -> Any:
    """Connect to a cluster and return the module `ray`.

    Raises:
        AgentError: Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault(PROXY_VARIABLE, MIDDLEWARES)  # for a new cluster; others are started with it
    try:
        import ray
    except ModuleNotFoundError as error:
        raise AgentError("Ray is missing; install it with pip install 'taste-agent[ray]'") from error
    try:
        ray.init(address=None if address == LOCAL else address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise AgentError(f"no Ray cluster at {address}: {reason}; give its address, or local") from error
    return ray


def deploy(
    cluster: Cluster,
    settings: AgentSettings,
    options: ServeOptions,
    load: Callable[[AgentSettings], ServedModel],
) -> None:
    """Start the application on a cluster, and return when its first replicas are ready.

    Args:
        cluster: the cluster.
        settings: settings of the sessions.
        options: options of the server; `max_sessions` is for each replica.
        load: loads the model; called in each replica.

    Raises:
        AgentError: `max_sessions` is missing, or there is no cluster.
    """
    if options.max_sessions is None:
        raise AgentError(
            "--ray needs --max-sessions for each replica; `taste-agent serve` on such a machine says how many"
        )
    connect(cluster.address)
    from ray import serve

    serve.start(http_options={"host": options.access.host, "port": options.port})
    application = _deployment(serve, cluster, settings, options, options.max_sessions, load)
    serve.run(application.bind(), name=APPLICATION, route_prefix="/")


def _deployment(
    serve: Any,
    cluster: Cluster,
    settings: AgentSettings,
    options: ServeOptions,
    sessions: int,
    load: Callable[[AgentSettings], ServedModel],
) -> Any:
    def build() -> Any:
        return Service(load(settings), settings, options.access, options.limits, sessions).app

    return serve.deployment(
        name="agent",
        max_ongoing_requests=sessions + PAGES,
        autoscaling_config={
            "min_replicas": cluster.least,
            "max_replicas": cluster.most,
            "target_ongoing_requests": max(1.0, FREE_SHARE * sessions),
        },
        graceful_shutdown_timeout_s=options.drain_s,
        ray_actor_options={"num_gpus": 1 if settings.model.device == "cuda" else 0},
    )(serve.ingress(build)())


def serve_on_ray(
    cluster: Cluster,
    settings: AgentSettings,
    options: ServeOptions,
    load: Callable[[AgentSettings], ServedModel],
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve on a cluster until a signal arrives, then remove the application.

    Raises:
        AgentError: as for `deploy`, or the server would be open to the network without a token.
    """
    options.access.check()
    deploy(cluster, settings, options, load)
    from ray import serve

    tell(
        f"{cluster.least} to {cluster.most} replicas of {options.max_sessions} conversations each, "
        f"listening on {options.access.host}, port {options.port}; Ctrl-C ends it"
    )
    try:
        while True:
            time.sleep(1)
    finally:
        serve.delete(APPLICATION)
        serve.shutdown()
