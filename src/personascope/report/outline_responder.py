"""The page of a reading language model: predicted answers, certainty, and what its states hold of people."""

from __future__ import annotations

from personascope.report import figures_responder as drawn
from personascope.report import sentences_responder as spoken
from personascope.report.outline import Outline, Part, no_figure

RESPONDER = (
    Outline(
        "responder",
        "What a reader expects of people",
        (
            Part("responder_training", "responder-training", "", spoken.training, no_figure),
            Part(
                "responder_errors",
                "responder-errors",
                "Negative log2-likelihood of answers that were not asked, of people nobody learned from, after a "
                "number of their answers. Bands: 95 % over people.",
                spoken.errors,
                lambda tables, _: drawn.errors(tables),
            ),
            Part(
                "responder_calibration",
                "responder-calibration",
                "Options by their expected probability, in bins of equally many, against how often they were chosen; "
                "after the most questions, items learned from others. Bands: 95 %, Wilson.",
                spoken.calibration,
                lambda tables, _: drawn.calibration(tables),
            ),
        ),
        "The marginals know how people answer an item, and nothing of the person. Models of answers need others' "
        "answers to an item; only who reads its words can expect anything of a new one.",
    ),
    Outline(
        "reader-states",
        "What its states hold of people",
        (
            Part(
                "responder_probes",
                "responder-probes",
                "Ridge probes of the residual stream at the last answer that was read. Traits are scored on items that "
                "were not asked. Intervals: 95 % over people, who are never on both sides of a fold.",
                spoken.probes,
                lambda tables, _: drawn.probes(tables),
            ),
            Part(
                "responder_people",
                "responder-people",
                "People whom the model was taught about, known again by a softmax over them that was fitted on other "
                "interviews of theirs. Bars: 95 % over people; shares of firsts after Wilson.",
                spoken.people,
                lambda tables, _: drawn.people(tables),
            ),
        ),
        "The state has read the answers, so only what goes beyond them is the model's own. Uncertainty and the worth "
        "of a question are those of noisy twins, which the model does not see.",
    ),
    Outline(
        "reader-writes",
        "What it makes up",
        (
            Part(
                "responder_synthetic",
                "responder-synthetic",
                "Answers drawn from the taught model, one after the other: how far their means, spreads and "
                "correlations are from those of tested people. Bar: 95 % of samples of as many people; other sources "
                "are drawn once.",
                spoken.synthetic,
                lambda tables, _: drawn.synthetic(tables),
            ),
            Part(
                "responder_novel",
                "responder-novel",
                "Questions: what the taught model expects their answers to tell of held-out items, and what the "
                "answers of people told, where people have answered. Bars: 95 % over interviews.",
                spoken.novel,
                lambda tables, _: drawn.novel(tables),
            ),
        ),
        "A few people are far from all of them by chance, so as many real ones stand beside. Nobody has answered a new "
        "question: its worth is the model's own opinion, which is checked on items of the bank that are as new to it.",
    ),
)
