"""Changes to a session's memory that a client requests. They run between two steps."""

from taste_agent.dialog import messages as m
from taste_agent.serve.computing import Job
from taste_agent.serve.mind import Mind, MindWorker


def remember(generation: int, heard: int) -> Job:
    """Cut the memory of the last answer to its heard words. A question being read is read again."""

    def job(worker: MindWorker, mind: Mind) -> list[m.Result]:
        mind.discard()
        results = worker.execute(m.Settle(generation, heard))
        if heard == 0:
            mind.settle(0)
        return results

    return job


def forget(generation: int, answer: bool) -> Job:
    """Forget the question of a reply, or its answer. A question being read is read again."""

    def job(worker: MindWorker, mind: Mind) -> list[m.Result]:
        results = worker.execute(m.Settle(generation, 0))
        mind.forget_side(generation, answer)
        return results

    return job
