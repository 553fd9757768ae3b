"""Web and mail addresses, file names, handles and telephone numbers."""

import re

from taste_speech.spoken_text.numbers import digits
from taste_speech.spoken_text.rules import Rule, apply, one_of

_SAID = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "~": "tilde"}
_SAID |= {"?": "question mark", "=": "equals", "&": "and", "#": "hash", "+": "plus", "%": "percent"}
_SPELLED = {
    "www",
    "uk",
    "us",
    "eu",
    "fm",
    "tv",
    "bbc",
    "cnn",
    "npr",
    "ibm",
    "usa",
    "html",
    "php",
    "faq",
    "mp",
}
_DOMAINS = (
    "com",
    "org",
    "net",
    "edu",
    "gov",
    "io",
    "ai",
    "co",
    "uk",
    "de",
    "us",
    "info",
    "dev",
    "app",
    "tv",
    "me",
)
_SPELLED_FILES = {
    *("pdf", "txt", "html", "css", "js", "py", "csv", "xml", "mp3", "mp4", "wav", "png", "jpg", "gif", "exe"),
    *("docx", "xlsx", "pptx", "md"),
}
_WORD_FILES = {"zip", "doc", "json", "yaml"}
_PART = r"[A-Za-z0-9_~%-]"
_PATH = rf"(?:/{_PART}*(?:\.{_PART}+)*)*(?:\?[\w=&%+-]+)?(?:#[\w-]+)?"


def say_addresses(text: str) -> str:
    """Write out addresses as they are dictated."""
    return apply(_RULES, text)


def _spell(found: re.Match[str]) -> str:
    address = re.sub(r"^https?://", "", found[0]).rstrip("/")
    parts = re.findall(r"[A-Za-z]+|\d+|.", address)
    return " ".join(_part(part) for part in parts)


def _part(part: str) -> str:
    if part.isdigit():
        return digits(part) if len(part) > 2 else part
    if len(part) == 1 and part.isalpha():
        return part.upper()
    if part.lower() in _SPELLED | _SPELLED_FILES:
        return " ".join(part.upper())
    return _SAID.get(part, part)


def _phone(found: re.Match[str]) -> str:
    groups = re.findall(r"\+|\d+", found[0])
    plus = "plus " if groups[0] == "+" else ""
    return plus + ", ".join("eight hundred" if g == "800" else digits(g) for g in groups if g != "+")


_RULES: list[Rule] = [
    (re.compile(rf"\bhttps?://[\w-]+(?:\.[\w-]+)*(?::\d+)?{_PATH}"), _spell),
    (re.compile(r"(?<!\w)[\w.+-]*\w@[\w-]+(?:\.[\w-]+)+"), _spell),
    (re.compile(rf"\bwww(?:\.[\w-]+)+{_PATH}"), _spell),
    (re.compile(rf"\b[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.{one_of(_DOMAINS)}\b(?![\w-]){_PATH}"), _spell),
    (re.compile(rf"\b[\w-]+\.{one_of(_SPELLED_FILES | _WORD_FILES)}\b(?!\.\w)"), _spell),
    (re.compile(r"(?<!\S)@(?=\w)"), "at "),
    (re.compile(r"(?<![\w&])#(?=[A-Za-z])"), "hashtag "),
    (re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"), lambda m: m[0].replace(".", " dot ")),
    (
        re.compile(r"(?<![\w.-])(?:\+?\d{1,3}[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"),
        _phone,
    ),
    (re.compile(r"(?<![\w.-])\d{3}-\d{4}(?![\w-])"), _phone),
    (re.compile(r"(?<![\w.])\+\d[\d ()-]{6,}\d\b"), _phone),
    (re.compile(r"(?<![\w.-])(?!\d{4}-\d\d-\d\d\b)\d+(?:-\d+){2,}(?![\w-])"), _phone),
    (re.compile(r"\b\d{4}(?: \d{4}){2,}\b"), _phone),
    (re.compile(r"\b1-8\d\d-(?=[A-Z])"), lambda m: f"{_phone(m)}, "),
]
