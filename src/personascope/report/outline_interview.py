"""The page of the interview study: people found, answers predicted, questions used."""

from __future__ import annotations

from personascope.report import figures_interview as drawn
from personascope.report import sentences_interview as spoken
from personascope.report.outline import Outline, Part, no_figure

INTERVIEW = (
    Outline(
        "interviews",
        "What to ask next",
        (
            Part(
                "interview_identification",
                "interview-identification",
                "How much is known of who it is, after some questions: mean log2 posterior of the true person, 0 when "
                "certain. Bands: 95 % over people.",
                spoken.identified,
                lambda tables, _: drawn.identified(tables),
            ),
            Part(
                "interview_prediction",
                "interview-prediction",
                "Error on items that nobody was asked, of people whom no model has seen, in standard deviations of the "
                "item; one plot for each model that predicts. Bands: 95 % over people.",
                spoken.predicted,
                lambda tables, _: drawn.predicted(tables),
            ),
            Part(
                "interview_questions",
                "interview-questions",
                "Different items asked at each place of the interview: 1 is the same question for everybody.",
                spoken.asked,
                lambda tables, _: drawn.asked(tables),
            ),
            Part("interview_rounds", "interview-rounds", "", spoken.rounds, no_figure),
        ),
        "People who are to be found answer as the model that looks for them has it, so bits are optimistic: the order "
        "of the planners is the result. Hindsight knows the answers beforehand; it is a bound, no planner.",
    ),
)
