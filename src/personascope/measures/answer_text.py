"""Preparing what a model wrote for reading: thoughts cut off, digits and signs of all scripts folded to plain ones."""

from __future__ import annotations

import re
import unicodedata

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_CLOSED = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc\u00b4", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212~", "-"),
        **dict.fromkeys('\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d`"*()[]{}_|', " "),
        "\u2044": "/",
        "\u2192": ":",
        "\u3002": ".",
        "\u20e3": "",  # the frame of a keycap
        "\ufffd": "",  # half a character, where the answer was cut off
    }
)


def without_thoughts(text: str) -> str | None:
    """The text after the model's `<think>` blocks; None when a thought was opened and never closed.

    A closing tag alone ends thoughts that the prompt itself had opened.
    """
    rest = _THOUGHTS.sub("\n", text)
    closed = list(_CLOSED.finditer(rest))
    if closed:
        rest = rest[closed[-1].end() :]
    return None if _OPENED.search(rest) else rest


def folded(text: str) -> str:
    """The text in plain signs: compatibility forms, digits of all scripts, dashes and apostrophes are folded.

    Brackets, quotation marks and other decoration become spaces. Case and line breaks stay.
    """
    plain = unicodedata.normalize("NFKC", text).replace("\\boxed", " ")
    plain = "".join(_plain(character) for character in plain).translate(_SIGNS)
    plain = re.sub(r"(?<=\d)(?=[^\x00-\x7f])|(?<=[^\x00-\x7f])(?=\d)", " ", plain)  # 4分: no word boundary between them
    lines = (" ".join(line.split()) for line in plain.splitlines())
    return "\n".join(re.sub(r" (?=[.,;:!?](?:\s|$))", "", line) for line in lines if line)


def _plain(character: str) -> str:
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.decimal(character))
    # format characters (zero-width, direction marks) and variation selectors show nothing
    invisible = unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f"
    control = unicodedata.category(character) == "Cc" and not character.isspace()
    return "" if invisible or control else character
