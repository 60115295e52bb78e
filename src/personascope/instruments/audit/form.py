"""Form checks: what can be seen in the wording of one item without knowing what it measures."""

from __future__ import annotations

import re
import unicodedata

from personascope.instruments.audit.coordination import double_barrel
from personascope.instruments.audit.findings import Finding, Verdict
from personascope.instruments.audit.wording import words
from personascope.instruments.items import Item

MIN_WORDS, MAX_WORDS = 4, 22
NEGATED_SHARE = 0.2
"""At most this share of a facet's reversed items may be reversed by a negation instead of by their content."""

FIRST_PERSON = frozenset({"i", "me", "my", "mine", "myself", "i'm", "i've", "i'd", "i'll"})
_NEGATORS = re.compile(
    r"\b(?:not|cannot|never|no|nobody|nothing|none|neither|nor|nowhere|without|hardly|scarcely|barely|rarely|seldom|"
    r"\w+n't)\b"
)
_PREDICATE_NEGATION = re.compile(
    r"\b(?:not|cannot|never|hardly|scarcely|barely|rarely|seldom|\w+n't|no longer|no interest|no need)\b"
)
# a clause ends at a comma or where a subordinate one begins: "never take things | that aren't mine" is two of one each
_CLAUSE = re.compile(
    r"[,;:]|\b(?:that|who|whom|which|whose|when|whenever|if|unless|because|until|while|although|though|even|after|"
    r"before|as|than|what|why|how|whether|where)\b"
)
_ANSWER_SCALE = re.compile(
    r"\b(?:strongly|somewhat|slightly|mostly|completely|totally) (?:dis)?agree\b|\bneither agree nor disagree\b|"
    r"\b(?:very|moderately) (?:in)?accurate\b|\bon a scale\b|"
    r"\b(?:1|one) (?:to|through) (?:5|7|9|10|five|seven|nine|ten)\b"
    r"|\bout of (?:5|7|10|five|seven|ten)\b|\btrue (?:or|/) false\b|\b(?:like me|applies to me)\s*[?:]|\([1-9]\)"
)
_MARKUP = re.compile(r"</?[a-z][^>]*>|&[a-z]+;|\*\*|__|^\s*(?:[-*#>•]|\d+[.)])\s|\{\w*\}|\[\w*\]|<\w*>", re.IGNORECASE)
_ENDING = re.compile(r"[.!?]['\")\]]*\s+\S")
_NUMBER = re.compile(r"^\s*\d+[.)]\s")  # a list mark is reported as markup
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|mr|mrs|dr)\.", re.IGNORECASE)
_DERIVED = {  # words that name the facet as plainly as its own name does
    "sincerity": "sincere sincerely insincere", "modesty": "modest modestly immodest",
    "greed_avoidance": "greed greedy", "fearfulness": "fearful", "anxiety": "anxious anxiously",
    "sentimentality": "sentimental", "sociability": "sociable unsociable", "liveliness": "lively",
    "forgivingness": "forgiving unforgiving forgiveness", "patience": "impatience",
    "organization": "organisation disorganization", "diligence": "diligent", "perfectionism": "perfectionist",
    "prudence": "prudent imprudent", "inquisitiveness": "inquisitive", "creativity": "creative uncreative",
    "unconventionality": "unconventional", "altruism": "altruistic altruist", "expressiveness": "expressive",
}  # fmt: skip


def is_negated(text: str) -> bool:
    """Whether the main statement is turned round by a negation ("I never", "I don't", "I rarely")."""
    clauses = _CLAUSE.split(" ".join(words(text)))
    return any(_PREDICATE_NEGATION.search(clause) for clause in clauses[:1])


def check_form(item: Item) -> list[Finding]:
    """Every remark on the form of one item.

    The rules: first person, 4 to 22 words, one sentence with one statement, no double negation, no name of the facet,
    no words of an answer scale, clean Unicode. None of them knows grammar; what a rule only suspects is "review".
    """
    plain = unicodedata.normalize("NFKC", item.text)
    lowered = " ".join(words(plain))
    found = [*_characters(item.text), *_length(words(plain))]
    if not FIRST_PERSON & set(words(plain)):
        found.append(Finding("first_person", "review", "not in the first person: no I, me, my or mine"))
    if _ENDING.search(_ABBREVIATION.sub("", _NUMBER.sub("", plain))) or ";" in plain:
        found.append(Finding("one_clause", "review", "more than one sentence"))
    elif "?" in plain:
        found.append(Finding("one_clause", "review", "a question, not a statement"))
    if joined := double_barrel(plain):
        found.append(Finding("double_barrelled", "review", f"two statements in one, joined by {joined!r}"))
    if twice := _double_negation(plain):
        found.append(Finding("double_negation", "review", f"two negations in one clause: {twice}"))
    if named := _facet_name(item.facet, lowered):
        found.append(Finding("facet_name", "review", f"names the facet: {named!r}"))
    if scale := _ANSWER_SCALE.search(plain.casefold()):
        found.append(Finding("answer_scale", "drop", f"words of an answer scale: {scale.group().strip()!r}"))
    return found


def _length(found: list[str]) -> list[Finding]:
    n = len(found)
    if MIN_WORDS <= n <= MAX_WORDS:
        return []
    # published banks have three-word items that work ("I work hard."); two words or none say too little
    verdict: Verdict = "keep" if n == MIN_WORDS - 1 else "review"
    return [Finding("length", verdict, f"{n} words; {MIN_WORDS} to {MAX_WORDS} are wanted")]


def _double_negation(text: str) -> str:
    for clause in _CLAUSE.split(text.replace("\u2019", "'").casefold()):
        negators = _NEGATORS.findall(clause)
        if len(negators) > 1 and "nor" not in negators:
            return " and ".join(negators[:2])
    return ""


def _facet_name(facet: str, lowered: str) -> str:
    names = [facet.replace("_", " "), *_DERIVED.get(facet, "").split()]
    return next((name for name in names if re.search(rf"\b{re.escape(name)}\b", lowered)), "")


def _characters(text: str) -> list[Finding]:
    categories = {unicodedata.category(char) for char in text}
    scripts = {unicodedata.name(char, "?").split()[0] for char in text if char.isalpha()} - {"FEMININE", "MASCULINE"}
    found = []
    if "\ufffd" in text or categories & {"Cc", "Co", "Cn", "Cs"}:
        found.append(Finding("unicode", "drop", "control, private or damaged characters"))
    elif categories & {"Cf", "So", "Zl", "Zp"}:
        found.append(Finding("unicode", "review", "invisible characters or symbols"))
    if len(scripts) > 1:
        found.append(Finding("unicode", "drop", f"letters of several scripts: {', '.join(sorted(scripts))}"))
    if unicodedata.normalize("NFC", text) != text:
        found.append(Finding("unicode", "review", "accents not composed (NFC)"))
    if markup := _MARKUP.search(text):
        found.append(Finding("markup", "drop", f"markup, list mark or placeholder: {markup.group().strip()!r}"))
    if "  " in text:
        found.append(Finding("spaces", "keep", "two spaces in a row"))
    return found
