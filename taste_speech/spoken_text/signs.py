"""Unicode, markup, emoji, signs and punctuation, reduced to plain letters and punctuation marks."""

import re
import unicodedata

import emoji

from taste_speech.errors import TextError
from taste_speech.spoken_text.rules import TABLES, apply, one_of, rules

_QUOTES = dict.fromkeys(map(ord, "‘’‛ʼ′´`"), "'") | dict.fromkeys(map(ord, "“”„‟«»″"), '"')
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F)])
_COMPATIBLE = re.compile("[ﬀ-ﬆ！-～]")
"""Ligatures and full-width characters, which stand for plain ones."""
_SIGNS, _EMOTICONS, _SCRIPTS = TABLES["signs"], TABLES["emoticons"], TABLES["scripts"]
_LETTERS = str.maketrans(TABLES["letters"])
_SKIN_TONE = re.compile(r"_(?:medium[-_])?(?:light|dark|medium)_skin_tone")
_DROPPED = "®™*#_^|~`•·°†‡¶\u200d\ufe0f\ufe0e"
_DASHES = dict.fromkeys(range(0x2012, 0x2016), "--")


def plain_text(text: str) -> str:
    """Return `text` as tokenizers expect it: straight quotes, no ligatures or invisible characters."""
    text = text.translate(_QUOTES | _INVISIBLE)
    return unicodedata.normalize("NFC", _COMPATIBLE.sub(lambda m: unicodedata.normalize("NFKC", m[0]), text))


def say_emoji(text: str) -> str:
    """Write out emoticons and the names of emoji; a row of equal emoji is read once."""
    text = re.sub(r"[®©™]", "", text)
    text = emoji.replace_emoji(text, lambda sign, names: f"\x00{_emoji_name(sign, names['en'])}\x00")
    text = re.sub(r"(\x00[^\x00]+\x00)(?:\s*\1)+", r"\1", text).replace("\x00", " ")
    return re.sub(rf"(?<!\S){one_of(_EMOTICONS)}(?![\w(])", lambda m: _EMOTICONS[m[0]], text)


def plain_digits(text: str) -> str:
    """Write fractions, superscripts and foreign digits in ASCII: "1½" -> "1 1/2", "x²" -> "x^2"."""
    return "".join(sign if sign.isascii() else _digits(sign) for sign in text)


def say_signs(text: str) -> str:
    """Write out single signs, and remove accents from letters."""
    text = unicodedata.normalize("NFKD", apply(_SINGLE, text.translate(_DASHES)).translate(_LETTERS))
    plain = (sign for sign in text if not unicodedata.combining(sign))
    return "".join(_said(sign) if ord(sign) > 126 else sign for sign in plain)


def without_unsayable(text: str) -> str:
    """Return `text` without the letters that `refuse_foreign` refuses."""
    return "".join(sign for sign in text if not _is_foreign(sign))


def _emoji_name(sign: str, name: str) -> str:
    name = _SKIN_TONE.sub("", name.strip(":")).replace("keycap_", "").replace("_", " ")
    return f"flag of {name}" if "\U0001f1e6" <= sign[0] <= "\U0001f1ff" else name


def _digits(sign: str) -> str:
    parts = unicodedata.normalize("NFKC", sign)
    if "⁄" in parts:
        return f" {parts.replace('⁄', '/')}"
    if unicodedata.category(sign) == "Nd":
        return str(unicodedata.digit(sign))
    raised = "^" if unicodedata.decomposition(sign).startswith("<super>") else ""
    return raised + parts if parts.isdigit() else sign


def _is_foreign(sign: str) -> bool:
    base = unicodedata.normalize("NFKD", sign)[0]
    return unicodedata.category(base)[0] == "L" and "LATIN" not in unicodedata.name(base, "")


def _said(sign: str) -> str:
    name = unicodedata.name(sign, "")
    if name.startswith(("GREEK SMALL LETTER ", "GREEK CAPITAL LETTER ")):
        return f" {name.split()[3].lower()} "
    return f" {name.lower()} " if unicodedata.category(sign)[0] == "S" else " "


def refuse_foreign(text: str) -> None:
    """Refuse text in non-Latin scripts, except single Greek letters, which are read by name.

    Raises:
        TextError: a word is in another script.
    """
    for word in unicodedata.normalize("NFKC", text).split():
        foreign = next(filter(_is_foreign, word), None)
        if foreign is None:
            continue
        script = unicodedata.name(foreign, "unknown signs").split()[0]
        if script == "GREEK" and not re.search("[\u0370-\u03ff]{2}", word):
            continue
        language = _SCRIPTS.get(script, script.capitalize())
        shown = word if len(word) <= 20 else f"{word[:20]}..."
        raise TextError(
            f"cannot say {shown!r} ({language}); this checkpoint speaks only English; write it in English"
        )


def _keeps(found: re.Match[str]) -> bool:
    """Return whether an apostrophe is part of a word: inside it, or after a plural outside quotes."""
    text, start = found.string, found.start()
    if len(found[0]) > 1 or (text[start - 1 : start].isalnum() and text[start + 1 : start + 2].isalnum()):
        return True
    return text[:start].endswith(("s", "in")) and not re.search(r"(?<!\w)'\w", text[:start])


MARKUP = rules(
    (r"(?m)^\s*(?:[-*+•>]|#{1,6})\s+", ""),
    (r"(?<![\w*])(\*{1,3}|_{1,3}|~~)(?=\S)(.+?)(?<=\S)\1(?![\w*])", r"\2"),
    (r"\[([^\]]+)\]\([^)\s]+\)", r"\1"),
    (r"(?<=[^\s.,!?;:])[ \t]*\n\s*", ", "),
    (r"\s*\n\s*", " "),
)
"""Remove emphasis, headings, lists, quotes and links, and join lines."""
_SINGLE = rules(
    (r"\b(?<!/)(yes|true|s?he|his|him|hers?)/(no|false|s?he|hers?|him|his)\b(?!/)", r"\1 or \2"),
    (one_of(_SIGNS), lambda m: f" {_SIGNS[m[0]]} "),
    (f"[{re.escape(_DROPPED)}]", " "),
)
TIDY = rules(
    (r"\s*(?:--+|(?<=\s)-(?=\s))\s*", ", "),
    (r"\.{2,}", lambda m: ", " if re.match(r"\s*(?:[a-z]|I\b|$)", m.string[m.end() :]) else ". "),
    (r"[\"{}]", " "),
    (r"[;:()\[\]]", ", "),
    (
        rf"(?<!\w){one_of(TABLES['apostrophes'].split())}(?!\w)|(?<=\w)'(?=\w)|'",
        lambda m: m[0] if _keeps(m) else " ",
    ),
    (r"(?<![A-Za-z])-|-(?![A-Za-z])", " "),
    (r"[^A-Za-z'.,?!\s-]", " "),
    (r"\s+(?=[.,?!])", ""),
    (r"[.,?!]{2,}", lambda m: next((mark for mark in "?!." if mark in m[0]), ",")),
    (r"^[.,?!\s]+", ""),
    (r"(?<=[.,?!])(?=\w)", " "),
    (r"\s+", " "),
)
"""Keep only letters, apostrophes, hyphens, . , ? ! and single spaces."""
