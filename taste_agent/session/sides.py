"""The person's sound and the agent's, side by side."""

import numpy as np

from taste_agent.audio.ports import Samples


class Sides:
    """Collects both sides as they come and gives back what is known of both.

    A session returns a frame for every frame it completed, and that one sounds after it: the agent's side
    begins with a frame of silence.
    """

    def __init__(self) -> None:
        self._person: list[Samples] = []
        self._agent: list[Samples] = []

    def begin(self, lead_samples: int) -> None:
        """The agent's first sample sounds `lead_samples` after the person's."""
        self._agent.append(np.zeros(lead_samples, np.float32))

    def add(self, person: Samples, agent: Samples) -> None:
        """Takes what was heard, (T,), and what was said meanwhile, (T',)."""
        self._person.append(person)
        self._agent.append(agent)

    def take(self, everything: bool = False) -> tuple[Samples, Samples]:
        """Both sides since the last call, equally long; the rest of the longer one waits.

        With `everything` all of the person's, and silence where the agent's is not known.
        """
        person, agent = (
            np.concatenate([np.zeros(0, np.float32), *side]) for side in (self._person, self._agent)
        )
        if everything:
            agent = np.pad(agent, (0, max(0, len(person) - len(agent))))[: len(person)]
        count = min(len(person), len(agent))
        self._person, self._agent = [person[count:]], [agent[count:]]
        return person[:count], agent[:count]
