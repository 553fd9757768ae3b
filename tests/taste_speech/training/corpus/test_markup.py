from taste_speech.training.corpus.markup import mark_up


def test_words_at_the_usual_pace_have_no_mark():
    assert mark_up("Well, <so> it is.", None, None, 1.0) == "<speak>Well, so it is.</speak>"


def test_each_word_has_the_pace_of_its_emphasis_and_of_the_change_before_it():
    marked = mark_up("one two three four", 2, 1, 0.5)
    half, slow = '<prosody rate="0.5">', '<prosody rate="0.39">'
    assert marked == f"<speak>one {half}two</prosody> {slow}three</prosody> {half}four</prosody></speak>"


def test_an_emphasis_behind_the_last_word_is_none():
    assert mark_up("one two", 2, None, 1.0) == "<speak>one two</speak>"
