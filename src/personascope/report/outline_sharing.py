"""The page of transfer between personas: who shares what, whose preference a probe reads, and one code for traits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import plotly.graph_objects as go

from personascope.report import figures_sharing as sharing
from personascope.report import figures_whose as whose
from personascope.report import sentences_sharing as spoken
from personascope.report.findings import strongest_cosine_layer
from personascope.report.findings_sharing import start_of
from personascope.report.outline import Outline, Part, Tables, no_figure, no_words
from personascope.report.theme import Styles

_TRANSFER = ("transfer", "transfer_means", "transfer_asymmetry")
_WHOSE = ("transfer", "probe_bias", "matched_choices", "diversity")
_FACETS = ("facet_transfer", "facet_transfer_means", "facet_transfer_asymmetry")
_CURVES = (
    "Means over ordered pairs of different personas, by layer. Correction divides by the reliabilities, and can pass 1."
)
_MEANS = (
    "Mean r with 95 % intervals: of a persona's probe on the others (filled), of the others' probes on it (hollow)."
)
_GAPS = (
    f"At most {sharing.MOST_PAIRS} pairs, those with the largest mean gap over layers, each with its 95 % interval: "
    "positive where the probe of the first reads the second better than conversely."
)
_COSINES = "Cosines of the probes of two personas. A star marks those beyond the 95th percentile of random directions."
_Draw = Callable[[Tables, Styles], go.Figure | None]


def _cosine_layer(tables: Tables, cosines: str, names: tuple[str, ...]) -> int:
    """The section's layer; the strongest cosine's where no other table of the section is there."""
    if any(name in tables for name in names):
        return start_of(tables, names)[0]
    return strongest_cosine_layer(tables[cosines])


def _means(names: tuple[str, ...]) -> _Draw:
    return lambda tables, styles: sharing.mean_transfer(tables[names[1]], start_of(tables, names), styles)


def _gaps(names: tuple[str, ...]) -> _Draw:
    return lambda tables, styles: sharing.transfer_gaps(tables[names[2]], start_of(tables, names), styles)


def _cosines(table: str, names: tuple[str, ...]) -> _Draw:
    return lambda tables, _: sharing.probe_cosines(tables[table], _cosine_layer(tables, table, names))


_FURTHER = (
    Part(
        "transfer",
        "transfer-curves",
        _CURVES,
        no_words,
        lambda tables, _: sharing.transfer_curves(tables["transfer"]),
    ),
    Part("transfer_means", "transfer-means", _MEANS, spoken.means, _means(_TRANSFER)),
    Part("transfer_asymmetry", "transfer-gaps", _GAPS, spoken.gaps, _gaps(_TRANSFER)),
    Part("weight_cosines", "probe-cosines", _COSINES, spoken.cosines, _cosines("weight_cosines", _TRANSFER)),
)

SHARING = (
    Outline(
        "whose-preference",
        "Whose preference does the probe read",
        (
            Part(
                "probe_bias",
                "probe-bias",
                "Correlation of transferred predictions with the utilities of the persona that is read, of the one "
                "trained on and of others, raw and with the former taken out. One dot for each ordered pair.",
                spoken.bias,
                lambda tables, _: whose.probe_bias(tables["probe_bias"], start_of(tables, _WHOSE)),
            ),
            Part(
                "matched_choices",
                "matched-choices",
                "Two personas on the same tasks. Left: whether differences of scores follow those of utilities. Right: "
                "how far apart scores lie on tasks that both like equally, in standard deviations.",
                spoken.matched,
                lambda tables, _: whose.matched_choices(tables["matched_choices"], start_of(tables, _WHOSE)),
            ),
            Part(
                "diversity",
                "diversity",
                "Probes of some personas read one that they never saw, at one number of training rows.",
                spoken.diversity,
                lambda tables, styles: whose.diversity(tables["diversity"], start_of(tables, _WHOSE), styles),
            ),
            Part("persona_tracking", "persona-tracking", "", spoken.tracking, no_figure),
        ),
        "Utilities are noisy, and partial correlations, matching and the yardsticks take them as they are. Pairs of "
        "personas are not independent of each other, so counts of pairs are no tests.",
    ),
    Outline(
        "facet-transfer",
        "One code for traits",
        (
            Part(
                "facet_transfer",
                "facet-transfer-maps",
                "Probes of keyed answers. Rows: persona the probe was trained on; columns: persona it was tested on. A "
                "star marks a difference whose interval lies above 0.",
                spoken.facet_transfer,
                lambda tables, _: sharing.answer_maps(tables["facet_transfer"], start_of(tables, _FACETS)),
            ),
            Part(
                "facet_transfer",
                "facet-transfer-curves",
                "Means over ordered pairs of different personas, by layer.",
                no_words,
                lambda tables, _: sharing.transfer_curves(tables["facet_transfer"], "answers"),
            ),
            Part("facet_transfer_means", "facet-transfer-means", _MEANS, spoken.means, _means(_FACETS)),
            Part("facet_transfer_asymmetry", "facet-transfer-gaps", _GAPS, spoken.gaps, _gaps(_FACETS)),
            Part(
                "facet_weight_cosines",
                "facet-probe-cosines",
                _COSINES,
                spoken.cosines,
                _cosines("facet_weight_cosines", _FACETS),
            ),
        ),
        "A probe of answers can read how a statement is worded as well as a trait, and its words are the same "
        "for all personas; personas that answer alike make it transfer.",
    ),
)


def with_sharing(outlines: Sequence[Outline]) -> tuple[Outline, ...]:
    """The sections of preferences with what is known of transfer beside its maps, and the sections above after them."""
    found: list[Outline] = []
    for outline in outlines:
        if outline.id != "transfer":
            found.append(outline)
            continue
        first = replace(outline.parts[0], words=spoken.transfer)
        found += [replace(outline, parts=(first, *outline.parts[1:], *_FURTHER)), *SHARING]
    return tuple(found)
