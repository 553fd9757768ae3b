"""Replays many recordings on a Ray cluster, with the same results as on one machine."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from taste_agent.config import AgentSettings
from taste_agent.errors import AgentError
from taste_agent.output_folder import cannot_write, check_writable
from taste_agent.replay import NAMES, ReplayResult, run_replay
from taste_agent.serve.mind import ServedModel
from taste_agent.session.transcript import Transcript
from taste_speech.sound_file import SoundFile

Outcome = tuple[dict[str, bytes], Transcript]
"""The contents of a session's files by name, and its transcript."""


class Replayer:
    """An actor on a machine of the cluster: a model that replays one recording after the other."""

    def __init__(self, settings: AgentSettings, load: Callable[[AgentSettings], ServedModel]) -> None:
        self._settings = settings
        self._model = load(settings)

    def replay(self, name: str, content: bytes) -> Outcome:
        """Replay a recording and return its files and transcript."""
        with tempfile.TemporaryDirectory() as folder:
            path, out = Path(folder) / "in" / name, Path(folder) / "out"
            path.parent.mkdir()
            path.write_bytes(content)
            result = run_replay(SoundFile(path), self._settings, out, self._model.make_mind)
            return {name: (out / name).read_bytes() for name in NAMES}, result.transcript


def replay_on_ray(
    ray: Any,
    sounds: Sequence[SoundFile],
    settings: AgentSettings,
    folders: Sequence[Path],
    load: Callable[[AgentSettings], ServedModel],
) -> Iterator[ReplayResult]:
    """Replay recordings on a cluster, write the results here, and yield them in order.

    Args:
        ray: Ray, connected to the cluster.
        sounds: files on this machine.
        settings: settings of all sessions.
        folders: output folder of each recording.
        load: loads the model; called once in each actor.

    Raises:
        AgentError: a folder cannot be written, or a machine was lost.
    """
    for folder in folders:
        check_writable(folder)
    actors = [
        _actor(ray, settings, load) for _ in range(min(len(sounds), _most_actors(ray.cluster_resources())))
    ]
    from ray.util import ActorPool

    pool = ActorPool(actors)
    outcomes = pool.map(
        lambda actor, sound: actor.replay.remote(sound.path.name, sound.path.read_bytes()), list(sounds)
    )
    try:
        for outcome, folder in zip(outcomes, folders, strict=True):
            yield _written(outcome, folder)
    except ray.exceptions.RayActorError as error:
        raise AgentError(
            "a machine of the cluster was lost; complete results are written; replay the rest"
        ) from error


THREADS = 2
"""CPUs that an actor reserves if `model.threads` is not set."""


def _most_actors(resources: dict[str, float]) -> int:
    return max(1, int(resources.get("CPU", 1)) // THREADS)


def _actor(ray: Any, settings: AgentSettings, load: Callable[[AgentSettings], ServedModel]) -> Any:
    from taste_agent.dialog.loading import CORES

    remote = ray.remote(
        num_cpus=settings.model.threads or min(THREADS, CORES),
        num_gpus=1 if settings.model.device == "cuda" else 0,
        # Sums depend on the number of threads, so use as many as on this machine.
        runtime_env={"env_vars": {"OMP_NUM_THREADS": str(CORES)}},
    )(Replayer)
    return remote.remote(settings, load)


def _written(outcome: Outcome, folder: Path) -> ReplayResult:
    contents, transcript = outcome
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            path = folder / name
            path.unlink(missing_ok=True)
            path.touch(0o600)
            path.write_bytes(content)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return ReplayResult(folder, transcript)
