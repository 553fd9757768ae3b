"""What an evaluation is done with: its settings, the checkpoint, the judge, the voices, the results."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from taste_speech.training.evaluation.held_out import Split
from taste_speech.training.evaluation.judge import Judge
from taste_speech.training.evaluation.kept import Kept, Result
from taste_speech.training.evaluation.minds import TasteMind
from taste_speech.training.evaluation.mouth import Mouth
from taste_speech.training.evaluation.sounds import Clip, Voices
from taste_speech.training.evaluation.table import fingerprint


@dataclass
class Bench:
    """Settings, and what is loaded on first use.

    Attributes:
        checkpoint: folder.
        work: folder for sounds and raw results.
        styles: folder of the voices in the npm package `kokoro-js`.
        people: folder of recordings with their `texts.json`.
        split: `valid` serves development's choices.
        texts: number of texts that the voice is judged on.
        questions: number of questions of our kinds.
        linear: number type of linear layers, as in `Acceleration`.
        threads: of everything.
        at_most: items of each list, for a trial; None: all.
    """

    checkpoint: Path
    work: Path
    styles: Path | None = None
    people: Path | None = None
    split: Split = "test"
    texts: int = 300
    questions: int = 200
    linear: str = "as_is"
    threads: int = 2
    at_most: int | None = None

    @property
    def command(self) -> str:
        """The command with everything that the figures depend on."""
        people = " --people FOLDER" if self.people else ""
        return (
            f"python -m taste_speech.training evaluate --texts {self.texts} --questions {self.questions}"
            f" --linear {self.linear} --threads {self.threads}{people}"
        )

    @cached_property
    def mind(self) -> TasteMind:
        """The checkpoint, with the fast paths of the agent."""
        return TasteMind.load(self.checkpoint, self.linear)

    @cached_property
    def mouth(self) -> Mouth:
        """Its voice."""
        return Mouth(self.mind)

    @cached_property
    def kept(self) -> Kept:
        """Raw results of these very weights."""
        folder = self.work / self.split / fingerprint(self.checkpoint) / self.linear
        return Kept(folder, self.at_most)

    def of_clips(
        self,
        name: str,
        texts: Iterable[str],
        spoken: Callable[[str], Clip | None],
        measure: Callable[[Clip], Result],
    ) -> list[Result]:
        """Return what was measured of the sound of each text; not of those that nobody can say.

        Args:
            name: of the kept results.
            texts: to be spoken.
            spoken: gives the sound of a text.
            measure: gives the result of a sound, empty to leave it out.
        """

        def measured(text: str) -> Result:
            clip = spoken(text)
            return {} if clip is None else measure(clip)

        return self.kept.found(name, texts, measured)

    @cached_property
    def voices(self) -> Voices:
        """Whom it listens to, and the natural voice."""
        return Voices(self.work / "sounds", self.styles or Path(), self.split)

    @cached_property
    def judge(self) -> Judge:
        """Who judges its voice."""
        return Judge(self.work, self.threads)
