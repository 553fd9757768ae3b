"""What is done to a session's memory between two steps, because its client says so."""

from taste_agent.dialog import messages as m
from taste_agent.serve.computing import Job
from taste_agent.serve.mind import Mind, MindWorker


def remember(generation: int, heard: int) -> Job:
    """Cuts the memory of the last answer to its heard words; a question that is being read is read anew."""

    def job(worker: MindWorker, mind: Mind) -> list[m.Result]:
        mind.discard()
        results = worker.execute(m.Settle(generation, heard))
        if heard == 0:
            mind.settle(0)
        return results

    return job


def forget(generation: int, answer: bool) -> Job:
    """Forgets what a reply answered, or the answer; a question that is being read is read anew."""

    def job(worker: MindWorker, mind: Mind) -> list[m.Result]:
        results = worker.execute(m.Settle(generation, 0))
        mind.forget_side(generation, answer)
        return results

    return job
