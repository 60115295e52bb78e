"""A judge's opinion of an item: of a model or a person that reads the text without its labels.

Text statistics know words, not meaning; they cannot tell "I stay calm under attack" from its opposite. A judge can.
It must not be the generator of the items, or it confirms its own mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from personascope.errors import DataError
from personascope.instruments.audit.embodiment import Applicability
from personascope.instruments.facet_definitions import FacetDefinition


@dataclass(frozen=True)
class Opinion:
    """What a judge makes of one text; None where it has no opinion.

    Args:
        facet: the facet that the statement is about.
        key: +1 when agreeing shows that facet, -1 when it shows the opposite.
        applicability: whether a respondent that is only text could truthfully agree or disagree.
        desirability: of agreeing, in [-1, 1].
    """

    facet: str | None = None
    key: Literal[1, -1] | None = None
    applicability: Applicability | None = None
    desirability: float | None = None


Judge: TypeAlias = Callable[[Sequence[str]], Sequence[Opinion]]
"""From item texts, without labels, to one opinion each."""


def ask_judge(judge: Judge, texts: Sequence[str]) -> list[Opinion]:
    """The judge's opinions, one for each text.

    Raises:
        DataError: it gave another number of them.
    """
    opinions = list(judge(texts))
    if len(opinions) != len(texts):
        raise DataError(
            f"The judge gave {len(opinions)} opinions on {len(texts)} texts.",
            "Every text needs one, in order; an empty `Opinion()` where there is none.",
            "Mend the judge.",
        )
    return opinions


def judge_from(generate: Callable[[str], str], definitions: Mapping[str, FacetDefinition]) -> Judge:
    """A judge that asks a language model one question per item and reads its one-line answer.

    What it cannot read stays None; nothing is guessed.

    Args:
        generate: prompt -> answer.
        definitions: facets to choose from.
    """
    listing = "\n".join(f"- {name}: high: {one.high} low: {one.low}" for name, one in definitions.items())

    def judge(texts: Sequence[str]) -> list[Opinion]:
        return [_read(generate(_QUESTION.format(facets=listing, text=text)), definitions) for text in texts]

    return judge


_QUESTION = """Facets of personality, each with its high and its low pole:
{facets}

Statement of a questionnaire: "{text}"

Answer in one line of this form, and nothing else:
facet=NAME; pole=high or low (of whoever agrees); textonly=yes, as-if or no (could a being that lives only in text \
truthfully agree or disagree?)"""
_TIER: dict[str, Applicability] = {"yes": "applicable", "as-if": "as-if", "no": "not"}


def _read(answer: str, definitions: Mapping[str, FacetDefinition]) -> Opinion:
    fields = dict(re.findall(r"(facet|pole|textonly)\s*[=:]\s*([\w-]+)", answer.casefold()))
    facet = fields.get("facet", "").replace("-", "_")
    pole = fields.get("pole")
    return Opinion(
        facet=facet if facet in definitions else None,
        key=1 if pole == "high" else -1 if pole == "low" else None,
        applicability=_TIER.get(fields.get("textonly", "")),
    )
