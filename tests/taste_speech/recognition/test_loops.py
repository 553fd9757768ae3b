import pytest

from taste_speech.recognition.loops import loop_start


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("i like you . i like you .", "i like you ."),
        ("well i think so i think so i think so", "well i think so"),
        ("oh oh oh oh", "oh"),
        ("and then , yes , yes , yes ,", "and then , yes ,"),
    ],
)
def test_what_is_written_again_is_not_kept(text, kept):
    assert loop_start(text.split()) == len(kept.split())


@pytest.mark.parametrize(
    "text",
    ["", "no", "no no no", "knock knock", "bye bye love", "i do i do", "very very good very very good so"],
)
def test_what_people_say_twice_stays(text):
    assert loop_start(text.split()) is None
