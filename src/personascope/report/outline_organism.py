"""The page of the organism study: what was planted, and how much of it the chain recovers."""

from __future__ import annotations

from personascope.report import figures_organism as drawn
from personascope.report import sentences_organism as spoken
from personascope.report.outline import Outline, Part, no_figure, no_words

ORGANISM = (
    Outline(
        "planted",
        "Planted and recovered",
        (
            Part(
                "planted_recovery",
                "planted-recovery",
                "Correlation with what was planted, with 95 % intervals (of utilities over topics, which are few). "
                "Filled: the organism; open: the base model, in which nothing is planted.",
                spoken.recovered,
                lambda tables, _: drawn.recovered(tables),
            ),
            Part(
                "planted_utilities",
                "planted-topics",
                "Mean utility of the tasks of each topic. Strokes: what was planted, on the planted scale. No task "
                "that is asked here was taught.",
                no_words,
                lambda tables, _: drawn.topics(tables),
            ),
            Part("planted_opposition", "planted-opposition", "", spoken.opposition, no_figure),
            Part("planted_cosines", "planted-cosines", "", spoken.cosines, no_figure),
            Part("planted_transfer", "planted-transfer", "", spoken.transfer, no_figure),
            Part("planted_steering", "planted-steering", "", spoken.steering, no_figure),
        ),
        "What a chain recovers here it can recover where the truth is as strong and as simple as this one; that says "
        "nothing about how strong or simple preferences are in a model that was not made.",
    ),
)
