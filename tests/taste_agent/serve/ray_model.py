"""A model for replicas on a cluster: it answers with the id of its process."""

import os

from taste_agent.config import AgentSettings
from taste_agent.serve.mind import ServedModel
from tests.taste_agent.fakes import FakeBrain
from tests.taste_agent.serve.talking import FACTS, mind_of


def load(settings: AgentSettings) -> ServedModel:
    """Loads nothing."""
    return ServedModel(FACTS, lambda own: mind_of(FakeBrain(replies=[str(os.getpid())] * 9)))
