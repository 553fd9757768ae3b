"""The shipped checkpoint answers the fortieth question as well as the first."""

from taste_agent.config.sources import load_settings
from taste_agent.dialog.brain_loader import load_brain

QUESTIONS = {
    "Tell me a story.": "once",
    "What is the capital of Italy?": "rome",
    "Tell me a story about a dog.": "max",
    "What is two plus three?": "five",
    "What day comes after Monday?": "tuesday",
    "What sound does a cow make?": "moo",
    "What is the capital of France?": "paris",
    "What is four plus four?": "eight",
}


def test_the_answers_stay_right_over_forty_turns():
    brain = load_brain(load_settings(None, ("sampling.seed=1",), environment={}).settings)
    wrong = []
    for question, word in list(QUESTIONS.items()) * 5:
        brain.prefill([brain.text_segment(question)])
        words = [word.text for item in brain.reply() for word in item.words]
        brain.settle(len(words))
        if word not in " ".join(words).lower():
            wrong.append((question, words))
    assert len(wrong) <= 1, wrong
