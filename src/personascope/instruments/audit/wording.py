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


def words(text: str) -> list[str]:
    """The words in lower case, contractions kept ("don't"), typographic apostrophes made plain."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold())


def normal_form(text: str) -> str:
    """The text without case, punctuation and contractions: equal for copies that differ in nothing else."""
    spelled = [_CONTRACTIONS.get(word) or re.sub(r"n't$", " not", word) for word in words(text)]
    return " ".join(spelled).replace("-", " ")
