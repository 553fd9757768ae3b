"""Words that steer the talk itself, manners set by a system segment, and the answer to what is not known."""

from dataclasses import dataclass

from taste_speech.training.corpus.dialogues.kinds import Kind, make_kind


def _control(name: str, ask: str, say: str, accept: str) -> Kind:
    return make_kind(name, "control", [f"({ask})"], say, accept=accept, plain=True)


CONTROL: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _control(
            "stop",
            "stop|stop it|please stop|stop please|stop talking|okay stop|be quiet|quiet please|"
            "that is enough|enough|hold on stop|no stop|stop now",
            "Okay.",
            "okay",
        ),
        _control(
            "never_mind",
            "never mind|oh never mind|never mind that|forget it|forget about it|it does not matter|"
            "it is not important|leave it|let it be",
            "All right, never mind.",
            "never mind",
        ),
        _control(
            "wait",
            "wait|wait a moment|wait a minute|one moment|one moment please|hold on|just a second|"
            "give me a moment|wait please",
            "Of course, take your time.",
            "take your time",
        ),
        _control(
            "go_on",
            "go on|please go on|continue|please continue|carry on|keep going|go ahead|and then|"
            "what happened next|you can continue",
            "Yes.",
            "yes",
        ),
        _control(
            "repeat",
            "repeat that|repeat that please|please repeat that|say that again|can you say that again|"
            "could you repeat that|what did you say|pardon|once more please|again please|say it again|"
            "I did not hear that|I did not understand|one more time",
            "Yes.",
            "yes",
        ),
        _control(
            "slower",
            "slower please|slower|speak slower|please speak slowly|more slowly please|can you speak slower|"
            "not so fast|that was too fast|say it slowly|can you say that slowly|too fast",
            "Yes.",
            "yes",
        ),
    )
}


@dataclass(frozen=True)
class Manner:
    """A manner of answering: the system sentences that set it, and what it changes."""

    style: str
    system: str
    """Sentences divided by bars."""
    before: str = ""

    def dress(self, text: str) -> str:
        """Return an answer in this manner."""
        return f"{self.before} {text}" if self.before and len(text.split()) <= 12 else text


MANNERS = (
    Manner("", "You are a helpful assistant.|Help the person.|Be helpful and friendly."),
    Manner("brief", "Answer briefly.|Give short answers.|Be brief.|Keep your answers short."),
    Manner("slow", "Speak slowly.|Talk slowly and clearly.|The person wants you to speak slowly."),
    Manner("fast", "Speak quickly.|Talk fast.|The person is in a hurry, speak quickly."),
    Manner("formal", "Be very polite.|Be formal.|Use polite language.", "Certainly."),
    Manner("cheerful", "Be cheerful.|You are in a good mood.|Sound happy.", "With pleasure."),
)
