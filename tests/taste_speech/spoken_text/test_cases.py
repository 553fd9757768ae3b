"""What a person reads aloud. The cases were written before the code, by saying them."""

import re
from random import Random

import pytest

from taste_speech.errors import TextError
from taste_speech.spoken_text import as_sentence, plain_text, spoken_text, spoken_words

NUMBERS = {
    "I have 3 cats.": "I have three cats.",
    "2 plus 2": "two plus two",
    "She is 21.": "She is twenty-one.",
    "It costs 1,234 in all.": "It costs one thousand two hundred thirty-four in all.",
    "There are 1,000,000 of them.": "There are one million of them.",
    "8 billion people": "eight billion people",
    "Pi is about 3.14.": "Pi is about three point one four.",
    "0.5 is a half.": "zero point five is a half.",
    "a .22 caliber": "a point two two caliber",
    "It fell to -5 overnight.": "It fell to minus five overnight.",
    "the 1st and the 22nd": "the first and the twenty-second",
    "the 101st floor": "the one hundred first floor",
    "the 20th century": "the twentieth century",
    "1/2 cup of milk": "one half cup of milk",
    "3/4 of them": "three quarters of them",
    "2 1/2 hours": "two and a half hours",
    "1½ cups": "one and a half cups",
    "¼ of it": "one quarter of it",
    "2/3 agree": "two thirds agree",
    "open 24/7": "open twenty-four seven",
    "a 50/50 chance": "a fifty-fifty chance",
    "10% off": "ten percent off",
    "99.9 % sure": "ninety-nine point nine percent sure",
    "007 is back": "zero zero seven is back",
    "Call 911!": "Call nine one one!",
    "about 1500 people": "about one thousand five hundred people",
    "10x faster": "ten times faster",
    "She was #1.": "She was number one.",
    "No. 5 is alive": "number five is alive",
    "5-10 minutes": "five to ten minutes",
    "pages 3–7": "pages three to seven",
    "They won 3-2.": "They won three to two.",
    "a 3:1 ratio": "a three to one ratio",
    "in 16:9": "in sixteen to nine",
    "~20 of us": "about twenty of us",
    "20+ years": "twenty plus years",
}
TIMES_AND_DATES = {
    "It is 7:46 PM.": "It is seven forty-six P M.",
    "at 7:00": "at seven o'clock",
    "at 7:05 a.m.": "at seven oh five A M.",
    "See you at 5pm.": "See you at five P M.",
    "9 a.m. to 5 p.m.": "nine A M to five P M.",
    "We close at 8 p.m. Come early.": "We close at eight P M. Come early.",
    "the 13:45 train": "the thirteen forty-five train",
    "12:30?": "twelve thirty?",
    "9-5": "nine to five",
    "in 1999": "in nineteen ninety-nine",
    "in 2005": "in two thousand five",
    "since 2024": "since twenty twenty-four",
    "in 1805": "in eighteen oh five",
    "by 1900": "by nineteen hundred",
    "the 1990s": "the nineteen nineties",
    "the '80s": "the eighties",
    "my 20s": "my twenties",
    "from 1914-1918": "from nineteen fourteen to nineteen eighteen",
    "March 3, 1999": "March third, nineteen ninety-nine",
    "on July 4th": "on July fourth",
    "Jan. 5": "January fifth",
    "12/25/2024": "December twenty-fifth, twenty twenty-four",
    "2024-12-25": "December twenty-fifth, twenty twenty-four",
    "on 3 March 2021": "on the third of March, twenty twenty-one",
    "It happened on 9/11.": "It happened on nine eleven.",
    "44 BC": "forty-four B C",
}
MONEY = {
    "$100": "one hundred dollars",
    "$1": "one dollar",
    "$2.50": "two dollars and fifty cents",
    "£2.50": "two pounds and fifty pence",
    "$1,299.99": "one thousand two hundred ninety-nine dollars and ninety-nine cents",
    "$0.99": "ninety-nine cents",
    "€20": "twenty euros",
    "20 €": "twenty euros",
    "¥500": "five hundred yen",
    "99¢": "ninety-nine cents",
    "$1.2 million": "one point two million dollars",
    "$3M": "three million dollars",
    "$5bn in debt": "five billion dollars in debt",
    "a $20 bill": "a twenty dollar bill",
    "$10k": "ten thousand dollars",
    "₹500": "five hundred rupees",
    "$5-10": "five to ten dollars",
    "-$5": "minus five dollars",
}
UNITS = {
    "5km": "five kilometers",
    "1 km": "one kilometer",
    "60 mph": "sixty miles per hour",
    "25°C": "twenty-five degrees Celsius",
    "-10 °F": "minus ten degrees Fahrenheit",
    "turn 90°": "turn ninety degrees",
    "10 kg of rice": "ten kilograms of rice",
    "5 lbs": "five pounds",
    "6 ft tall": "six feet tall",
    "5'10\"": "five foot ten",
    "500 ml": "five hundred milliliters",
    "16 GB of RAM": "sixteen gigabytes of RAM",
    "100 km/h": "one hundred kilometers per hour",
    "20 m²": "twenty square meters",
    "3.5mm": "three point five millimeters",
    "2.4 GHz": "two point four gigahertz",
    "5 min": "five minutes",
    "1 hr 30 min": "one hour thirty minutes",
    "a 60W bulb": "a sixty watt bulb",
    "a 5-year-old": "a five-year-old",
    "a 10-minute walk": "a ten-minute walk",
}
WRITING = {
    "Dr. Smith is in.": "Doctor Smith is in.",
    "Mr. and Mrs. Lee": "Mister and Missus Lee",
    "Ms. Park": "Miz Park",
    "St. John lives on 5th St.": "Saint John lives on fifth Street.",
    "apples, pears, etc.": "apples, pears, et cetera.",
    "fruit, e.g. apples": "fruit, for example apples",
    "the last one, i.e. me": "the last one, that is me",
    "cats vs. dogs": "cats versus dogs",
    "Mt. Everest": "Mount Everest",
    "John Smith Jr. is here": "John Smith Junior is here",
    "tea w/ milk": "tea with milk",
    "Tom & Jerry": "Tom and Jerry",
    "R&B": "R and B",
    "Henry VIII": "Henry the eighth",
    "Elizabeth II was queen.": "Elizabeth the second was queen.",
    "World War II": "World War two",
    "Chapter IV": "Chapter four",
    "the FBI": "the F B I",
    "the U.S. and the UK": "the U S and the U K",
    "on TV": "on T V",
    "two DVDs": "two D V Ds",
    "NASA launched it.": "NASA launched it.",
    "an MP3 player": "an M P three player",
    "H2O": "H two O",
    "COVID-19": "COVID nineteen",
    "an iPhone 15": "an iPhone fifteen",
    "WHAT IS YOUR NAME?": "What is your name?",
    "I said NO to it.": "I said no to it.",
    "OK, fine": "okay, fine",
    "v2.0": "version two point zero",
}
ADDRESSES = {
    "www.example.com": "W W W dot example dot com",
    "Go to https://example.com/help.": "Go to example dot com slash help.",
    "a@b.com": "A at B dot com",
    "john.smith@gmail.com": "john dot smith at gmail dot com",
    "bbc.co.uk": "B B C dot co dot U K",
    "my_name-1@mail.org": "my underscore name dash one at mail dot org",
    "report.pdf": "report dot P D F",
    "555-1234": "five five five, one two three four",
    "(555) 123-4567": "five five five, one two three, four five six seven",
    "+1 555 123 4567": "plus one, five five five, one two three, four five six seven",
    "8-9-10-11-12": "eight, nine, ten, eleven, twelve",
    "1-2-345-6-7-8-9-10-11": "one, two, three hundred forty-five, six, seven, eight, nine, ten, eleven",
    "4-8-15-16-23-42": "four, eight, one five, one six, two three, four two",
    "10-8-6": "ten, eight, six",
    "10-10-10": "one zero, one zero, one zero",
    "01-02-03": "zero one, zero two, zero three",
    "10-20-45": "one zero, two zero, four five",
    "1-800-555-0199": "one, eight hundred, five five five, zero one nine nine",
    "zip code 90210": "zip code nine zero two one zero",
    "123 Main St.": "one hundred twenty-three Main Street.",
    "@anna": "at anna",
    "#music": "hashtag music",
}
SIGNS = {
    "2 + 2 = 4": "two plus two equals four",
    "5 - 3": "five minus three",
    "3 x 4": "three times four",
    "3×4": "three times four",
    "10 ÷ 2": "ten divided by two",
    "x²": "x squared",
    "2^10": "two to the power of ten",
    "√16": "the square root of sixteen",
    "5 < 6": "five is less than six",
    "and/or": "and or",
    "2πr": "two pi r",
    "I ❤️ you": "I red heart you",
    "so funny 😂😂😂": "so funny face with tears of joy",
    "good 👍🏽": "good thumbs up",
    "hi :)": "hi smiley face",
    "what’s your name": "what's your name",
    "“Hello,” she said.": "Hello, she said.",
    "wait — what?": "wait, what?",
    "well-known": "well-known",
    "Well... maybe…": "Well, maybe,",
    "the workers' tools": "the workers' tools",
    "the 'best' one": "the best one",
    "Paris (the capital) is big.": "Paris, the capital, is big.",
    "No way!!!": "No way!",
    "What?!": "What?",
    "a café in São Paulo": "a cafe in Sao Paulo",
    "ﬁnd the ﬂag": "find the flag",
    "zero\u200bwidth soft\u00adhyphen": "zerowidth softhyphen",
    "ＡＢ１": "A B one",
    "**Important:** read *this*": "Important, read this",
    "- apples\n- pears": "apples, pears",
    "First line\nSecond line": "First line, Second line",
    "rock 'n' roll": "rock 'n' roll",
    "don't": "don't",
}
MORE = {
    "at 3:30pm on Friday, Oct. 12th": "at three thirty P M on Friday, October twelfth",
    "I was born in 1987.": "I was born in nineteen eighty-seven.",
    "2 tbsp of oil and 1/4 tsp salt": "two tablespoons of oil and one quarter teaspoon salt",
    "Apple is worth $2.8 trillion.": "Apple is worth two point eight trillion dollars.",
    "That'll be $3.05.": "That'll be three dollars and five cents.",
    "She earns $85k a year.": "She earns eighty-five thousand dollars a year.",
    "$5/month": "five dollars per month",
    "$1M–$2M": "one million dollars to two million dollars",
    "jane_doe99@yahoo.co.uk": "jane underscore doe ninety-nine at yahoo dot co dot U K",
    "Super Bowl LVIII was great.": "Super Bowl fifty-eight was great.",
    "See fig. 3 on p. 27.": "See figure three on page twenty-seven.",
    "The Dr. is out; Mrs. Brown isn't.": "The Doctor is out, Missus Brown isn't.",
    "He works for IBM and the CIA.": "He works for I B M and the C I A.",
    "0-60 in 3.5 seconds": "zero to sixty in three point five seconds",
    "7 - 10 = -3": "seven minus ten equals minus three",
    "Chapters 4-6 are due 11/03/2023.": "Chapters four to six are due November third, twenty twenty-three.",
    "from 9am-5pm": "from nine A M to five P M",
    "9-11am": "nine to eleven A M",
    "7.30pm": "seven thirty P M",
    "10:15-11:00": "ten fifteen to eleven o'clock",
    "version 1.2.3": "version one point two point three",
    "R2-D2 & C-3PO": "R two D two and C three P O",
    "J.K. Rowling wrote it.": "J K Rowling wrote it.",
    "Use the ATM ASAP!": "Use the A T M A S A P!",
    "STOP! That's NOT okay.": "Stop! That's not okay.",
    "I'M SO HAPPY TODAY": "I'm so happy today",
    "yes/no": "yes or no",
    "Wow 🎉🎉 happy birthday!": "Wow party popper happy birthday!",
    "🇯🇵 is far away": "flag of Japan is far away",
    "What's the √81?": "What's the square root of eighty-one?",
    "a² + b² = c²": "a squared plus b squared equals c squared",
    '"Don\'t," he said; "it\'s late."': "Don't, he said, it's late.",
    "She's 5 ft 4 in tall.": "She's five feet four inches tall.",
    'a 12" pizza': "a twelve inch pizza",
    "No, 5 is enough.": "No, five is enough.",
    "May 5": "May fifth",
    "May I go?": "May I go?",
    "Wed., Jan. 3": "Wednesday, January third",
    "from Mon-Fri": "from Monday to Friday",
    "a T-shirt": "a T-shirt",
    "vitamin B12": "vitamin B twelve",
    "50+": "fifty plus",
    "a C-": "a C minus",
    "a 4x4": "a four by four",
    "I ran 5K in 25:30.": "I ran five K in twenty-five thirty.",
    "WWII ended in 1945.": "World War two ended in nineteen forty-five.",
    "the 1,000th time": "the one thousandth time",
    "an 8 oz. steak": "an eight ounce steak",
    "PS5 or Xbox?": "P S five or Xbox?",
    "CEO of AT&T": "C E O of A T and T",
    "12 a.m. sharp": "twelve A M sharp",
    "the 2020-21 season": "the twenty twenty to twenty-one season",
    "+44 20 7946 0958": "plus four four, two zero, seven nine four six, zero nine five eight",
    "123-45-6789": "one two three, four five, six seven eight nine",
    "3️⃣ items": "three items",
    "5 µm": "five micrometers",
    "H₂O": "H two O",
    "x = 3y + 2": "x equals three y plus two",
    "half past 7": "half past seven",
    "the 4th of July, 1776": "the fourth of July, seventeen seventy-six",
    "They're in St. Louis.": "They're in Saint Louis.",
    "1600 Pennsylvania Ave. NW": "sixteen hundred Pennsylvania Avenue N W",
}
MORE |= {
    "It takes 1h 20m by train.": "It takes one hour twenty minutes by train.",
    "He makes $25/hr.": "He makes twenty-five dollars per hour.",
    "The 49ers won 31-20.": "The forty-niners won thirty-one to twenty.",
    "45 Oak Blvd., Apt. 3B": "forty-five Oak Boulevard, Apartment three B",
    "My birthday is 4/15.": "My birthday is April fifteenth.",
    "It's due on 3/4.": "It's due on March fourth.",
    "Turn to pg. 14.": "Turn to page fourteen.",
    "Let's go to the YMCA.": "Let's go to the Y M C A.",
    "5:00-6:00 PM": "five to six P M",
    "Dial *67 first.": "Dial star sixty-seven first.",
    "Press # to continue.": "Press pound to continue.",
    "call 1-800-FLOWERS": "call one, eight hundred, flowers",
    "CA$15": "fifteen Canadian dollars",
    "10 EUR": "ten euros",
    "St. Paul, MN": "Saint Paul, Minnesota",
    "120/80 is normal.": "one hundred twenty over eighty is normal.",
    "I have a B.A. and an M.A.": "I have a B A and an M A.",
    "8/10 people": "eight out of ten people",
    "¿Qué?": "Que?",
    "I ate a fig.": "I ate a fig.",
    "1,000 - 2,000 people": "one thousand to two thousand people",
    "31/12/2023": "December thirty-first, twenty twenty-three",
    "10 sq. ft.": "ten square feet",
    "Martin Luther King, Jr. Blvd.": "Martin Luther King, Junior Boulevard.",
    "St. Mary's St. is closed.": "Saint Mary's Street is closed.",
    "1-on-1": "one on one",
    "33 1/3 rpm": "thirty-three and one third revolutions per minute",
}
ALL = NUMBERS | TIMES_AND_DATES | MONEY | UNITS | WRITING | ADDRESSES | SIGNS | MORE


@pytest.mark.parametrize(("written", "said"), ALL.items())
def test_it_is_said_as_a_person_would(written: str, said: str) -> None:
    assert spoken_text(written) == said


@pytest.mark.parametrize("said", ALL.values())
def test_what_is_spoken_already_stays(said: str) -> None:
    assert spoken_text(said) == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("你好", r"cannot say '你好' \(Chinese\); this checkpoint speaks only English; write it in English"),
        ("Say 谢谢 to her.", r"cannot say '谢谢' \(Chinese\)"),
        ("こんにちは", r"\(Japanese\)"),
        ("안녕하세요", r"\(Korean\)"),
        ("hello привет", r"cannot say 'привет' \(Cyrillic\)"),
        ("γειά σου", r"\(Greek\)"),
        ("שלום", r"\(Hebrew\)"),
        ("...", r"there is nothing to say in '...'; give at least one word"),
        ("", r"there is nothing to say in ''; give at least one word"),
    ],
)
def test_what_cannot_be_said_is_named(text: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        spoken_text(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["it", "is", "late"], ["it", "is", "late"]),
        (["at", "7:46", "PM."], ["at", "seven forty-six", "P M."]),
        (["about", "$5", "million", "a", "year"], ["about", "five million", "dollars", "a", "year"]),
        (["the", "FBI,", "yes"], ["the", "F B I,", "yes"]),
        (["one", "—", "two"], ["one,", ",", "two"]),
        (["say", "你好", "now"], ["say", ",", "now"]),
        ([], []),
    ],
)
def test_each_word_of_a_reply_keeps_its_part(words: list[str], said: list[str]) -> None:
    assert spoken_words(words) == said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello there", "Hello there."),
        ("Is it?", "Is it?"),
        ("one, two,", "One, two."),
        ("é", "É."),
    ],
)
def test_a_sentence_begins_and_ends_as_one(text: str, sentence: str) -> None:
    assert as_sentence(text) == sentence


def test_what_comes_out_is_plain_and_stays() -> None:
    """Whatever is put together: only letters and the four marks, and a second time changes nothing."""
    pieces = [word for text in ALL for word in text.split()]
    random = Random(0)
    for _ in range(300):
        text = " ".join(random.choices(pieces, k=5))
        said = spoken_text(text)
        assert re.fullmatch("[A-Za-z'.,?! -]+", said), text
        assert spoken_text(said) == said, text


@pytest.mark.parametrize("text", ["plain ASCII, 2 + 2 = 4 & \"quotes\" -- 'it' <b>", "naïve 你好 ½"])
def test_plain_text_leaves_what_tokenizers_know(text: str) -> None:
    assert plain_text(text) == text


def test_plain_text_replaces_what_stands_for_plain_signs() -> None:
    assert plain_text("what’s “ﬁne”\u200b ＡＢ\u00ad！") == 'what\'s "fine" AB!'
