import random
import shutil

import numpy as np
import pytest

from taste_agent.config import AgentSettings
from taste_agent.turns.barge_in import content_words
from taste_speech.training.corpus.dialogues.murmurs import (
    ASSENTS,
    HESITATIONS,
    MURMURS,
    is_murmur,
    murmured,
)
from taste_speech.training.corpus.dialogues.talks import Talk, Turn, make_talks
from taste_speech.training.corpus.murmuring import UNSAYABLE, murmured_utterances
from taste_speech.training.corpus.recognition_model import pronunciations
from taste_speech.training.corpus.speech import Utterance, speak_all
from taste_speech.training.corpus.voices import REPLY_VOICE, TRAIN_VOICES

ASKED = Turn("user", "speech", "What is the time?")
TOLD, ASKING = Turn("assistant", "speech", "It is five."), Turn("assistant", "speech", "Which one?")
CUT = Turn("assistant", "speech", "Once upon a time.", cut_at_word=2)


def kinds_of(*turns):
    talk = murmured(Talk("t", "train", turns), 1.0, random.Random(0))
    return ["murmur" if turn.kind == "murmur" else turn for turn in talk.turns]


def test_an_answer_that_was_heard_may_be_murmured_at():
    assert kinds_of(ASKED, TOLD) == [ASKED, TOLD, "murmur"]
    assert kinds_of(ASKED, TOLD, ASKED, TOLD) == [ASKED, TOLD, "murmur", ASKED, TOLD, "murmur"]


def test_questions_and_what_was_not_heard_to_its_end_are_not_murmured_at():
    assert kinds_of(ASKED, ASKING) == [ASKED, ASKING]
    assert kinds_of(ASKED, CUT, ASKED) == [ASKED, CUT, ASKED]


def test_a_murmur_is_a_turn_that_wants_no_answer():
    turn = murmured(Talk("t", "train", (ASKED, TOLD)), 1.0, random.Random(0)).turns[-1]
    assert (turn.role, turn.modality, turn.finished) == ("user", "speech", False)
    assert turn.text in MURMURS


def test_without_murmurs_talks_stay_as_they_are():
    talks = make_talks(20, 1, "train")
    assert [murmured(talk, 0.0, random.Random(0)) for talk in talks] == talks


def test_the_agent_goes_on_after_every_murmur():
    ignored = AgentSettings().barge_in.backchannels
    assert not [text for text in (*MURMURS, *ASSENTS, *HESITATIONS) if content_words(text, ignored)]


@pytest.mark.parametrize(
    ("text", "found"), [("mhm", True), ("uh huh um", True), ("", True), ("oh stop", False)]
)
def test_what_is_a_murmur(text, found):
    assert is_murmur(text) is found


def test_every_murmur_has_a_pronunciation_of_its_own():
    words = {word for text in (*MURMURS, *ASSENTS) for word in text.split()}
    phones = dict(pronunciations(words))
    assert phones["mm"] == "M"
    assert phones["hm"] == "HH M"
    assert phones["mhm"] == "AH M HH AH M"


def test_every_engine_gets_what_it_can_say():
    wanted = murmured_utterances(300, TRAIN_VOICES, 1, "m-", "train")
    assert {utterance.text for utterance in wanted} == {*MURMURS, *ASSENTS}
    assert len({utterance.id for utterance in wanted}) == 300
    for utterance in wanted:
        assert utterance.text not in UNSAYABLE[utterance.voice.engine]
        if utterance.text == "mhm":  # else it would be spelled: "em aitch em"
            assert utterance.spelling


@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
def test_what_an_engine_is_told_is_not_the_text():
    plain, other = Utterance("a", "train", "hm", REPLY_VOICE), Utterance("b", "train", "hum", REPLY_VOICE)
    told = Utterance("c", "train", "hm", REPLY_VOICE, spelling="hum")
    spelled, hummed, said = (samples for _, samples in speak_all([plain, other, told], 1))
    assert np.array_equal(said, hummed)
    assert len(spelled) > len(said)  # "aitch em"
