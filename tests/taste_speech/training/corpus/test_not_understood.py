from dataclasses import replace

from taste_speech.training.corpus.dialogues.not_understood import NOT_UNDERSTOOD, asked_again
from taste_speech.training.corpus.dialogues.turns import Turn

ASKED = Turn("user", "speech", "What is the time?", recognised="that is a dime")
TOLD = Turn("assistant", "speech", "I have no clock.")


def test_every_excuse_comes_about_and_half_of_the_questions_are_asked_again():
    talks = [asked_again(ASKED, [TOLD], draw / 60) for draw in range(60)]
    excuses = [talk[1].text for talk in talks]
    assert {excuses.count(text) for text in NOT_UNDERSTOOD} == {20}
    again = [talk for talk in talks if len(talk) > 2]
    assert len(again) == 30
    assert {talk[2:] for talk in again} == {(replace(ASKED, recognised=None), TOLD)}


def test_what_is_not_finished_is_waited_for():
    cut = replace(ASKED, finished=False)
    assert asked_again(cut, [], 0.9) == (cut,)
