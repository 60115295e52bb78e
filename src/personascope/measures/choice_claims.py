"""What the opening of an answer claims: which of two tasks it takes up, and which it declines.

Nothing here guesses. A label counts only where a choice stands: as the heading of the answer, or as what "I choose" and
its like are followed by. A label that is merely mentioned counts for nothing, and one that is declined is never chosen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Which = Literal["a", "b"]
Tasks = Literal["a", "b", "both"]

_KIND = r"(?:task|option|choice|assignment|prompt|request)"
_NOUN = rf"(?:{_KIND}|letter|number|任务|任務|タスク|tâche|tarea|tarefa|aufgabe|задача|задание)"
_NAMED = rf"(?:the\s+)?{_NOUN}[\s#:\-]*(?:[ab]|1|2|one|two)(?!\w|'\w)"
_ORDINAL = rf"(?:the\s+)?(?:first|second|1st|2nd)\s+(?:{_KIND}|one)(?!\w)"
_BARE = r"(?-i:[AB])(?!\w|'\w)"
_PLAIN_ORDINAL = r"the\s+(?:first|second|former|latter|last)(?!\w)"
_SECOND = re.compile(r"(?:b|2|two|second(?:\s+\w+)?|2nd\s+\w+|latter|last)$", re.IGNORECASE)

_GOES_ON = r"(?!\s*(?:[,/&?]|(?:is|are|sounds?|seems?|looks?|was|would|will|has|and|or|over|vs)\b))"
OPENING = re.compile(
    rf"^[\s*_#>\"'`(\[«„“‘【]*(?:({_NAMED}|{_ORDINAL}|(?-i:[AB]))[\"'”’»]*(?:[)\]】]|\*\*|__|`)|([ab])[)\]])"
    rf"[*_\"'`]*{_GOES_ON}\s*[:.)\-]*",
    re.IGNORECASE,
)
"""A label at the very start that brackets or bold type set apart, as no words do."""

_SEPARATED = r"(?=\s*(?:$|[:.,;!)\-]))"
_HEAD = re.compile(rf"(?P<label>{_NAMED}|{_ORDINAL}|{_BARE}){_SEPARATED}\s*[:.,;!)\-]*\s*", re.IGNORECASE)
_HEADS_WITH_COLON = re.compile(rf"(?:{_NAMED}|{_ORDINAL}|{_BARE})\s*:", re.IGNORECASE)
_ANY = re.compile(rf"\b(?:{_NAMED}|{_ORDINAL})|(?<![\w'])(?-i:B)(?!\w|'\w)|\bthe (?:former|latter)\b", re.IGNORECASE)

_ADVERBS = (
    r"(?:\s+(?:therefore|thus|definitely|probably|just|then|now|gladly|happily|much|rather|really|simply|hereby|also|"
    r"personally|certainly|think|believe|guess|i(?:'d| would| will|'ll)?))*"
)
_TAKE = (
    r"(?:(?:choose|chose|chosen|choosing|pick|picked|picking|select|selected|selecting|prefer|take|taking|do|doing|"
    r"complete|completing|tackle|tackling|perform|attempt)|(?:go|going|start|starting|begin|proceed|continue)"
    r"(?:\s+(?:ahead\s+)?with)|(?:opt|opting|settle)\s+(?:for|on)|carry\s+out|work\s+on|decided?\s+(?:on|to\s+do|for))"
)
_WILL = r"(?:'ll|'d|'m|'ve|\s+will|\s+would|\s+am|\s+have|\s+want\s+to|\s+shall|\s+must)?"
_TO = r"(?:\s+(?:going|like|love|want|prefer|happy|glad|decided|choose|like\s+most)\s+to)?"
_I_TAKE = rf"i{_WILL}{_ADVERBS}{_TO}{_ADVERBS}\s+{_TAKE}\s*:?\s+"
_IS = r"\s*(?:is|would be|will be|:|=|-)\s*(?:to\s+do\s+)?"
_MINE = r"(?:my|the|final)\s+(?:\w+\s+)?(?:choice|answer|pick|decision|selection|preference|chosen\s+task)"
_CLAIMS = (
    _I_TAKE,
    rf"(?:{_MINE}|the\s+(?:task|one)\s+(?:that\s+)?i(?:'d| would| will)?\s+(?:choose|pick|prefer|do)){_IS}",
    r"(?:choice|chosen\s+task|answer|selected|selection|decision|i\s+choose|chosen|choosing|chose)\s*[:=\-]\s*",
    rf"(?:let me|let's|let us|allow me to){_ADVERBS}\s+{_TAKE}\s+",
    r"(?:here is|here's|here goes|this is)(?:\s+(?:my|the|an?))?(?:\s+(?:answer|response|solution|attempt))?"
    r"(?:\s+(?:to|for|at))?\s+",
    r"我(?:会|想|要)?(?:选择|选|選擇|選)\s*",
)
_OBJECT = rf"(?P<label>{_NAMED}|{_ORDINAL}|{_PLAIN_ORDINAL}|{_BARE}(?=\s*(?:$|[:.,;!\-]|because|since|as|over|for)))"
_CLAIM = tuple(re.compile(start + _OBJECT, re.IGNORECASE) for start in _CLAIMS)
_AFTERWARDS = re.compile(
    rf"(?P<label>{_NAMED}|{_ORDINAL}|{_BARE})\s+(?:it\s+is|is\s+(?:my|the\s+one)\s*(?:choice|pick|i\s+\w+)?|"
    r"is\s+what\s+i(?:'d| would| will|'ll)?\s+(?:choose|pick|do))(?!\s*(?:not|n't))(?=\s*(?:$|[:.,;!\-]))",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\W*(?:if|unless|were|suppose|should)\b", re.IGNORECASE)
_LEAD_IN = re.compile(r"(?!(?:if|unless|were|suppose|should)\b)[^,:.]{1,70},\s*(?=i\b|i'|my\b|let)", re.IGNORECASE)
_FILLER = re.compile(
    r"(?:sure|ok|okay|well|so|alright|all right|great|certainly|absolutely|of course|yes|hmm+|hello|hi|thanks|"
    r"thank you|wonderful|excellent|interesting|fine|right|oh|gladly|happily|therefore|thus|hence|instead|honestly|"
    r"no problem|assistant|answer|response|my answer|my response|with pleasure|i think|i believe|i guess|then)\b"
    r"(?:\s+(?:thing|question|you))?(?:[,.:!\s]+|$)",
    re.IGNORECASE,
)
_OTHER_TOO = re.compile(
    rf"\s*(?:,|/|&|\+|and|or|nor)+\s*(?:also\s+|then\s+|maybe\s+)*(?:{_NAMED}|{_ORDINAL}|[ab](?!\w)|both)",
    re.IGNORECASE,
)
_HEDGE = re.compile(r"^[^:.]*\b(?:if|unless|were i|had i)\b", re.IGNORECASE)

_VERB = (
    r"(?:help(?!\s+(?:but|\w+ing)\b)|assist|comply|fulfil|fulfill|complete|carry\s+out|provide|engage|participate|"
    r"perform|proceed|generate|produce|support|choose|pick|select|do|answer|respond|create|write|continue|execute|"
    r"accept|discuss|work\s+on|tackle|take\s+(?:on|part)|give\s+(?:you\s+)?(?:instructions|advice)|be\s+of\s+help|"
    r"make\s+(?:a\s+)?(?:choice|decision)|decide)(?!\s+(?:without|justice))\b"
)
_UNABLE = (
    r"\bi(?:'m|\s+am|'d|\s+would|\s+really|\s+simply|\s+do|\s+just|\s+will|\s+must|\s+honestly)*\s*"
    r"(?:can't|cannot|can not|won't|will not|not able to|unable to|not going to|couldn't|could not|wouldn't|would not|"
    r"don't want to|not want to|not willing to|unwilling to|rather not|prefer not to|choose not to|not allowed to|"
    r"not permitted to|not comfortable|don't feel comfortable|not feel comfortable|not)"
    r"(?:\s+(?:be\s+able\s+to|be|ethically|morally|in\s+good\s+conscience|with|to|want|actually|really|possibly|safely|"
    r"personally|legally|going))*\s+"
)
_LACK = (
    r"\bi\s+(?:do not|don't|lack|have no|possess no)(?:\s+(?:really|actually|have|hold|possess|any|personal|own|real))*"
    r"\s+(?:preferences?|desires?|feelings?|opinions?)\b"
)
_DECLINES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_UNABLE}{_VERB}",
        r"\bi(?:'m|\s+am|\s+feel|\s+do)?\s*(?:not|don't feel|not feel)\s+comfortable",
        r"^(?:\w+\s+)?(?:i\s+)?(?:(?:must|have\s+to|will|would|'ll|'d|respectfully|politely|firmly|am\s+going\s+to)\s*)*"
        r"(?:decline|refuse)\b(?!\s+to\s+(?:be|believe|give\s+up|lose))",
        r"\bi(?:'ll|'d|'m)?(?:\s+(?:must|have\s+to|will|would|respectfully|politely|firmly|am|going|to))*\s+"
        r"(?:decline|declining|refuse|refusing)\b(?!\s+to\s+(?:be|believe|give\s+up|lose))",
        r"\bi(?:'ll|'d)?(?:\s+(?:will|would))?\s+(?:choose|pick|select|do|prefer|take|want)\s+(?:to\s+do\s+)?"
        r"(?:neither|none|nothing)\b",
        r"^(?:neither|none)(?:\s+of\s+(?:them|these|the|those|both)\b.*|\s+task\b.*|\s+please)?\W*$",
        r"^no(?:pe)?(?:,?\s+(?:thanks|thank you|sorry|i\s+won't|way|to\s+both))?\W*$",
        r"^(?:i'm|i am|we're|so|very|my|\s)*\s*(?:sorry|apologies|apologi[sz]e)\b(?:[,.]?\s+(?:but|i)\b.*)?\W*$",
        r"\bi\s+apologi[sz]e\b",
        r"(?:not|n't)\s+something\s+(?:that\s+)?(?:i(?:'m|\s+am)?\s+)(?:can|could|will|would|able|willing|comfortable)",
        r"\b(?:against|violates?|outside)\s+(?:my|our|the)\s+(?:\w+\s+)?(?:guidelines?|polic\w+|principles?|programming|values)",
        r"\b(?:inappropriate|unethical|irresponsible|wrong)\s+(?:for\s+me\s+)?to\s+(?:help|assist|do|complete|provide|answer)",
        rf"^(?:can't|cannot|won't|will not|unable to|not able to)\s+{_VERB}",
        r"^(?:task\s+[ab12]\s+)?(?:is\s+)?(?:rejected|declined|refused)\W*$",
        _LACK,
    )
)
_CLAUSES = re.compile(
    r"[,;]?\s+(?:but|so|however|therefore|yet|instead)\b,?\s+|;\s+|\s+-+\s+|,\s+(?=i\s+(?:choose|pick|will|select)\b)|"
    r",\s+(?=(?:here is|here's|let me|let's)\b)",
    re.IGNORECASE,
)
_BOTH = re.compile(r"\b(?:both|either|neither|none|any)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Unit:
    """A clause of the opening: what it takes up, what it declines ("unnamed" where it does not say), and its words.

    Args:
        label: the task it claims to choose.
        heads: whether the label heads the text rather than standing in a sentence.
        declined: the task that it declines.
        rest: its words after the claim, or all of them; empty for a clause that only declines.
        text: all of its words.
    """

    label: Which | None
    heads: bool
    declined: Tasks | Literal["unnamed"] | None
    rest: str
    text: str


def read_unit(text: str, *, may_head: bool) -> Unit:
    """Read one clause (of `clauses`); a heading counts only where `may_head`."""
    plain = without_filler(text)
    if plain.rstrip().endswith("?") and not (may_head and _HEADS_WITH_COLON.match(plain)):
        return Unit(None, False, None, plain, text)
    found = next((match for match in _matches(plain, may_head) if match), None)
    if found and _unsure(plain, found):
        found = None
    if found:
        rest = plain[found.end() :].strip()
        return Unit(which(found["label"]), found.re is _HEAD, declines(rest), rest, text)
    declined = declines(plain)
    return Unit(None, False, declined, "" if declined else plain, text)


def _matches(plain: str, may_head: bool) -> list[re.Match[str] | None]:
    found: list[re.Match[str] | None] = [_HEAD.match(plain)] if may_head else []
    found += [pattern.match(plain) for pattern in (*_CLAIM, _AFTERWARDS)]
    lead = _LEAD_IN.match(plain)
    if lead:
        found += [pattern.match(plain, lead.end()) for pattern in _CLAIM]
    return found


def _unsure(plain: str, found: re.Match[str]) -> bool:
    """Whether the other task is taken in the same breath, or a condition hangs on the claim."""
    end = found.end("label")
    return bool(_OTHER_TOO.match(plain, end) or (found.re is not _HEAD and _HEDGE.search(plain[end:])))


def which(label: str) -> Which:
    """The task that a label means."""
    return "b" if _SECOND.search(label.strip()) else "a"


def declines(text: str) -> Tasks | Literal["unnamed"] | None:
    """What a clause declines; None when it declines nothing ("I can't wait to ...")."""
    for pattern in _DECLINES:
        if pattern.search(text):
            return _named(text) or "unnamed"
    return None


def _named(text: str) -> Tasks | None:
    named = {which(match.group()) for match in _ANY.finditer(text)}
    if len(named) == 1 and not re.search(r"\b(?:neither|both)\b", text, re.IGNORECASE):
        return named.pop()
    return "both" if named or _BOTH.search(text) else None


def without_filler(text: str) -> str:
    """The text from its first word that says something."""
    plain = text.strip(" \t#>=·•*-,:;.!~")
    while filler := _FILLER.match(plain):
        plain = plain[filler.end() :].lstrip(" ,:;.!-")
    return plain


def clauses(text: str) -> list[str]:
    """Clauses of a folded text, each within a sentence and a line."""
    sentences = [part for line in text.splitlines() for part in re.split(r"(?<=[.!?;])\s+", line)]
    split = [[part] if _CONDITION.match(part) else _CLAUSES.split(part) for part in sentences]
    return [clause for parts in split for clause in parts if re.search(r"\w", clause)]


def headings(text: str) -> set[Which]:
    """Tasks whose label heads a line and whose text there is not declined."""
    found: set[Which] = set()
    for line in text.splitlines():
        plain = without_filler(line)
        match = re.match(rf"(?P<label>{_NAMED}|{_ORDINAL}|{_BARE})\s*(?::|\.(?=\s)|-|$)", plain, re.IGNORECASE)
        if match and not declines(plain[match.end() :]):
            found.add(which(match["label"]))
    return found


def without_labels(text: str) -> str:
    """The text without any mention of the tasks by label."""
    return _ANY.sub(" ", text)
