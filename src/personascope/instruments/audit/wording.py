"""How item texts are cut into words and brought to one form before they are compared."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\u00b4`", "'''''")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_CONTRACTIONS = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "i'm": "i am", "i've": "i have", "i'd": "i would",
    "i'll": "i will", "it's": "it is", "that's": "that is", "let's": "let us",
}  # fmt: skip


def plain(text: str) -> str:
    """The text in lower case, with compatible characters and typographic apostrophes made plain."""
    return unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold()


def words(text: str) -> list[str]:
    """The words in lower case, contractions kept ("don't"), typographic apostrophes made plain."""
    return _WORD.findall(plain(text))


def words_and_commas(text: str) -> str:
    """The words in lower case with a space between them, and the commas that stand within the text."""
    return re.sub(r"\s+,", ",", " ".join(re.findall(rf"{_WORD.pattern}|,", plain(text)))).strip(", ")


def normal_form(text: str) -> str:
    """The text without case, punctuation and contractions: equal for copies that differ in nothing else."""
    spelled = [_CONTRACTIONS.get(word) or re.sub(r"n't$", " not", word) for word in words(text)]
    return " ".join(spelled).replace("-", " ")
