"""The page of many personas' preferences: how far they can be trusted, and how the personas lie to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from personascope.report import figures_elicitation as drawn
from personascope.report import figures_persona_space as space
from personascope.report import sentences_elicitation as trust
from personascope.report import sentences_persona_space as spoken
from personascope.report import sentences_written as written
from personascope.report.outline import Outline, Part, Tables, no_figure
from personascope.report.theme import Styles

_Draw = Callable[[Tables, Styles], go.Figure | None]


def _once(name: str, names: Sequence[str], draw: _Draw) -> _Draw:
    """Draw a figure of several tables in the part of the first of them that is there."""
    return lambda tables, styles: draw(tables, styles) if name == next(n for n in names if n in tables) else None


def _trust(name: str) -> _Draw:
    return _once(name, drawn.TRUST, drawn.trust_panels)


def _written(name: str) -> _Draw:
    return _once(name, drawn.READ_AGAIN, drawn.written_panels)


_TRUST_CAPTION = (
    "Agreement over wordings, share of pairs predicted that were never fitted, circles among three tasks, and "
    "agreement with stated ratings, each with its 95 % interval. Bars: chance; rings: what the utilities expect."
)
_WRITTEN_CAPTION = (
    "Written choices: change with order, agreement with themselves, with the sign of the log-odds, and with their "
    "size. Bars: what independent answers with the same preference for a place would give."
)

ELICITATION = (
    Outline(
        "trust",
        "Can these preferences be trusted",
        (
            Part("preference_retest", "trust-panels", _TRUST_CAPTION, trust.retest, _trust("preference_retest")),
            Part("preference_accuracy", "trust-panels", _TRUST_CAPTION, trust.accuracy, _trust("preference_accuracy")),
            Part("preference_circles", "trust-panels", _TRUST_CAPTION, trust.circles, _trust("preference_circles")),
            Part("rating_agreement", "trust-panels", _TRUST_CAPTION, trust.rated, _trust("rating_agreement")),
            Part("stated_ratings", "stated-ratings", "", trust.ratings, no_figure),
            Part(
                "preference_design",
                "design-rounds",
                "Agreement of each round's utilities with those of the round before.",
                trust.design,
                lambda tables, styles: drawn.design_rounds(tables["preference_design"], styles),
            ),
        ),
        "Intervals are over tasks or pairs of this pool, and a persona is one or two wordings of it. Agreement says "
        "that there is something steady in the answers, not that it is a preference.",
    ),
    Outline(
        "written-choices",
        "Does it do what it says it prefers",
        (
            Part(
                "written_outcomes",
                "written-outcomes",
                "What became of the written answers, with 95 % intervals over pairs.",
                written.outcomes,
                lambda tables, styles: drawn.written_outcomes(tables["written_outcomes"], styles),
            ),
            Part("written_refusals", "written-refusals", "", written.refusals, no_figure),
            Part("written_judging", "written-judging", "", written.judging, no_figure),
            Part(
                "written_consistency",
                "written-panels",
                _WRITTEN_CAPTION,
                written.consistency,
                _written("written_consistency"),
            ),
            Part(
                "written_agreement",
                "written-panels",
                _WRITTEN_CAPTION,
                written.agreement,
                _written("written_agreement"),
            ),
            Part(
                "written_calibration",
                "written-samples",
                "How well the ranks from some samples agree with those from the samples left out.",
                written.calibration,
                lambda tables, styles: drawn.sample_curves(tables["written_calibration"], styles),
            ),
        ),
        "A choice is what a parser, and where it could not tell a judge, read in a text; few pairs are asked, and "
        "those that were refused or could not be read are missing from every comparison with the labels.",
    ),
    Outline(
        "persona-space",
        "How the personas lie to each other",
        (
            Part(
                "persona_profiles",
                "topic-profiles",
                "Mean standardised utility of each persona on each topic. A star marks an interval that excludes 0.",
                spoken.profiles,
                lambda tables, _: space.topic_profiles(tables),
            ),
            Part(
                "persona_components",
                "component-shares",
                "Share of each component, against shuffled tasks.",
                spoken.components,
                lambda tables, _: None if "persona_map" in tables else space.component_shares(tables),
            ),
            Part(
                "persona_map",
                "persona-map",
                "First two principal components of what the personas prefer, and how much each component explains.",
                spoken.places,
                space.persona_map,
            ),
            Part(
                "persona_correlations",
                "persona-correlations",
                "Below the diagonal: correlation over tasks, starred where its interval excludes 0. Above: corrected "
                "for the unreliability of both personas.",
                spoken.corrected,
                lambda tables, _: space.correlation_map(tables),
            ),
            Part("persona_clusters", "persona-clusters", "", spoken.clusters, no_figure),
            Part(
                "persona_cluster_counts",
                "cluster-counts",
                "How apart clusters are, and how surely they come back from other tasks, by their number.",
                spoken.cluster_counts,
                lambda tables, _: space.cluster_counts(tables["persona_cluster_counts"]),
            ),
            Part("persona_representatives", "persona-representatives", "", spoken.representatives, no_figure),
            Part(
                "persona_extremes",
                "extreme-tasks",
                "The tasks that each persona likes most and least, and what all personas make of the same tasks. Hover "
                "to read them.",
                spoken.extremes,
                space.extreme_tasks,
                spoken.quotes,
            ),
        ),
        "Personas whose utilities are mostly noise lie apart from all others for no other reason. Profiles do not "
        "count the error of the utilities, and a tree finds clusters in anything.",
    ),
)
