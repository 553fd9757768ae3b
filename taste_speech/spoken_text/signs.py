"""Unicode, markup, emoji, signs, and punctuation: what is left is plain letters and marks."""

import re
import unicodedata

import emoji

from taste_speech.errors import TextError
from taste_speech.spoken_text.rules import Rule, apply, one_of

_QUOTES = dict.fromkeys(map(ord, "‘’‛ʼ′´`"), "'") | dict.fromkeys(map(ord, "“”„‟«»″"), '"')
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F)])
_COMPATIBLE = re.compile("[ﬀ-ﬆ！-～]")
"""Ligatures and full-width signs, which stand for plain letters."""

_EMOTICONS = {
    **dict.fromkeys((":)", ":-)", "=)", ":D", ":-D"), "smiley face"),
    **dict.fromkeys((":(", ":-(", ":'("), "sad face"),
    **{";)": "winking face", ";-)": "winking face", "<3": "heart", ":P": "cheeky face"},
}
_SKIN_TONE = re.compile(r"_(?:medium[-_])?(?:light|dark|medium)_skin_tone")
_SIGNS = {
    **{
        "&": "and",
        "=": "equals",
        "+": "plus",
        "%": "percent",
        "@": "at",
        "±": "plus or minus",
        "≠": "is not equal to",
    },
    **{"≈": "is about", "≤": "is at most", "≥": "is at least", "∞": "infinity"},
    **{"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "¢": "cent", "°": "degrees", "§": "section"},
    **{
        "©": "copyright",
        "→": "to",
        "×": "times",
        "÷": "divided by",
        "<": "is less than",
        ">": "is greater than",
    },
    **{"/": "slash", "\\": "backslash", "№": "number", "µ": "micro"},
}
_DROPPED = "®™*#_^|~`•·°†‡¶\u200d\ufe0f\ufe0e"
_DASHES = dict.fromkeys(range(0x2012, 0x2016), "--")
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i"}
    | {"Æ": "Ae", "Œ": "Oe", "Ø": "O", "Đ": "D", "Ð": "D", "Þ": "Th", "Ł": "L"}
)
_SCRIPTS = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}
_KEPT_APOSTROPHES = one_of(("'n'", "'em", "'til", "'cause", "'tis", "'twas", "'bout"))


def plain_text(text: str) -> str:
    """`text` in the characters that tokenizers know: straight quotes, no ligatures, nothing invisible.

    Plain ASCII stays as it is.
    """
    text = text.translate(_QUOTES | _INVISIBLE)
    return unicodedata.normalize("NFC", _COMPATIBLE.sub(lambda m: unicodedata.normalize("NFKC", m[0]), text))


def say_emoji(text: str) -> str:
    """Write out emoji by their names, a row of equal ones once, and faces made of signs."""
    text = re.sub(r"[®©™]", "", text)
    text = emoji.replace_emoji(text, lambda sign, names: f"\x00{_emoji_name(sign, names['en'])}\x00")
    text = re.sub(r"(\x00[^\x00]+\x00)(?:\s*\1)+", r"\1", text).replace("\x00", " ")
    return re.sub(rf"(?<!\S){one_of(_EMOTICONS)}(?![\w(])", lambda m: _EMOTICONS[m[0]], text)


def drop_markup(text: str) -> str:
    """Without marks of emphasis, headings, lists and quotes; lines are joined."""
    return apply(_MARKUP, text)


def plain_digits(text: str) -> str:
    """Fractions, raised, lowered and foreign digits in ours: "1½" -> "1 1/2", "x²" -> "x^2"."""
    return "".join(_digits(sign) for sign in text)


def say_signs(text: str) -> str:
    """Write out single signs, and write accented letters plain."""
    text = apply(_SINGLE, text.translate(_DASHES))
    return "".join(_said(sign) if ord(sign) > 126 else sign for sign in _without_accents(text))


def without_unsayable(text: str) -> str:
    """`text` less what `refuse_foreign` refuses."""
    return "".join(sign for sign in text if sign.isascii() or not _is_foreign(sign))


def tidy(text: str) -> str:
    """Only letters, apostrophes, hyphens and . , ? !, with single blanks."""
    return apply(_TIDY, text).strip()


def _emoji_name(sign: str, name: str) -> str:
    name = _SKIN_TONE.sub("", name.strip(":")).replace("keycap_", "").replace("_", " ")
    return f"flag of {name}" if "\U0001f1e6" <= sign[0] <= "\U0001f1ff" else name


def _digits(sign: str) -> str:
    if sign.isascii():
        return sign
    parts = unicodedata.normalize("NFKC", sign)
    if "⁄" in parts:
        return f" {parts.replace('⁄', '/')}"
    if unicodedata.category(sign) == "Nd":
        return str(unicodedata.digit(sign))
    raised = "^" if unicodedata.decomposition(sign).startswith("<super>") else ""
    return raised + parts if parts.isdigit() else sign


def _without_accents(text: str) -> str:
    return "".join(
        x for x in unicodedata.normalize("NFKD", text.translate(_LETTERS)) if not unicodedata.combining(x)
    )


def _is_foreign(sign: str) -> bool:
    base = unicodedata.normalize("NFKD", sign)[0]
    return unicodedata.category(base)[0] == "L" and "LATIN" not in unicodedata.name(base, "")


def _said(sign: str) -> str:
    name = unicodedata.name(sign, "")
    if name.startswith(("GREEK SMALL LETTER ", "GREEK CAPITAL LETTER ")):
        return f" {name.split()[3].lower()} "
    if unicodedata.category(sign)[0] == "S":
        return f" {name.lower()} "
    return " "


def refuse_foreign(text: str) -> None:
    """Refuse text in other scripts; a single Greek letter has a name and is none.

    Raises:
        TextError: with the first such word.
    """
    for word in unicodedata.normalize("NFKC", text).split():
        letters = [sign for sign in word if not sign.isascii() and _is_foreign(sign)]
        if not letters:
            continue
        script = unicodedata.name(letters[0], "unknown signs").split()[0]
        if script == "GREEK" and not re.search("[\u0370-\u03ff]{2}", word):
            continue
        language = _SCRIPTS.get(script, script.capitalize())
        shown = word if len(word) <= 20 else f"{word[:20]}..."
        raise TextError(
            f"cannot say {shown!r} ({language}); this checkpoint speaks English, write it in English"
        )


_MARKUP: list[Rule] = [
    (re.compile(r"^\s*(?:[-*+•>]|#{1,6})\s+", re.MULTILINE), ""),
    (re.compile(r"(?<![\w*])(\*{1,3}|_{1,3}|~~)(?=\S)(.+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"\[([^\]]+)\]\([^)\s]+\)"), r"\1"),
    (re.compile(r"(?<=[^\s.,!?;:])[ \t]*\n\s*"), ", "),
    (re.compile(r"\s*\n\s*"), " "),
]
_SINGLE: list[Rule] = [
    (re.compile(r"\b(?<!/)(yes|true|s?he|his|him|hers?)/(no|false|s?he|hers?|him|his)\b(?!/)"), r"\1 or \2"),
    (re.compile(one_of(_SIGNS)), lambda m: f" {_SIGNS[m[0]]} "),
    (re.compile(f"[{re.escape(_DROPPED)}]"), " "),
]
_TIDY: list[Rule] = [
    (re.compile(r"\s*(?:--+|(?<=\s)-(?=\s))\s*"), ", "),
    (re.compile(r"\.{2,}"), lambda m: ", " if re.match(r"\s*(?:[a-z]|I\b|$)", m.string[m.end() :]) else ". "),
    (re.compile(r"[\"{}]"), " "),
    (re.compile(r"[;:()\[\]]"), ", "),
    (re.compile(rf"(?<!\w){_KEPT_APOSTROPHES}(?!\w)|(?<=\w)'(?=\w)|'"), lambda m: m[0] if _keeps(m) else " "),
    (re.compile(r"(?<![A-Za-z])-|-(?![A-Za-z])"), " "),
    (re.compile(r"[^A-Za-z'.,?!\s-]"), " "),
    (re.compile(r"\s+(?=[.,?!])"), ""),
    (re.compile(r"[.,?!]{2,}"), lambda m: next((mark for mark in "?!." if mark in m[0]), ",")),
    (re.compile(r"^[.,?!\s]+"), ""),
    (re.compile(r"(?<=[.,?!])(?=\w)"), " "),
    (re.compile(r"\s+"), " "),
]


def _keeps(found: re.Match[str]) -> bool:
    """Whether an apostrophe belongs to a word: inside one, or behind a plural where no quotation is open."""
    text, start = found.string, found.start()
    if len(found[0]) > 1 or (text[start - 1 : start].isalnum() and text[start + 1 : start + 2].isalnum()):
        return True
    return text[:start].endswith(("s", "in")) and not re.search(r"(?<!\w)'\w", text[:start])
