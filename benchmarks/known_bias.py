"""Planted response styles, weights and variance components against what the measures recover.

The respondents are those that the tests use; their label probabilities go through the real read-out.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import polars as pl

from benchmarks import respondents as stubs
from benchmarks.records import Record, arguments, show
from personascope.measures.agreement import variant_agreement
from personascope.measures.bias import bias_panel, partial_effects, response_components
from personascope.measures.generalizability import d_study, g_study, levels_needed

TRAIT = float(np.sqrt(np.mean(np.square(list(stubs.TRAITS.values())))))
STYLES: dict[str, tuple[stubs.Respondent, str, float]] = {
    "yea-sayer": (stubs.yea_sayer, "acquiescence", 1.0),
    "nay-sayer": (stubs.nay_sayer, "acquiescence", -1.0),
    "first position": (stubs.first_position, "order_bias", -1.0),
    "label 1": (stubs.one_lover(50.0, stubs.softened(stubs.mid_point)), "order_bias", -1.0),
    "desirability": (stubs.desirability_responder, "desirability_slope", 1.0),
    "content": (stubs.content_responder(), "trait", TRAIT),
    "middle": (stubs.mid_point, "midpoint_share", 1.0),
    "extreme": (stubs.extreme, "extremity", 1.0),
    "random": (stubs.random_responder(1), "order_bias_absolute", 0.4),
}
SEPARATE = ("trait", "acquiescence", "order_bias", "desirability_slope")
"""Indices of which a pure style moves one at most."""
WEIGHTS = {"content": 0.35, "yea-sayer": 0.2, "first position": 0.15, "desirability": 0.1, "random": 0.2}
COMPONENTS = {"persona": 0.25, "item": 0.16, "persona x item": 0.09, "persona x phrasing": 0.06}
ERROR = 0.12
DESIGN = (12, 10, 6)


def records() -> list[Record]:
    """Every planted truth with what was recovered; takes some seconds."""
    return [*styles(), *leakage(), *mixtures(), *desirability(), *prior(), *components(), *agreement()]


def styles() -> list[Record]:
    """Each style on the index that is its own."""
    panel = _panel()
    found = []
    for name, (_, index, truth) in STYLES.items():
        row = panel.filter((pl.col("persona") == name) & (pl.col("index") == index)).row(0, named=True)
        tolerance = 0.06 if name == "random" else 0.01
        ok = abs(row["value"] - truth) <= tolerance
        ends = (row["value"] if row[end] is None else row[end] for end in ("low", "high"))
        found.append(Record(f"{name}: {index}", row["value"], *ends, truth, ok, row["n"], f"within {tolerance}"))
    return found


def leakage() -> list[Record]:
    """What a style moves that is not its own: the largest of the separate indices, which should all be 0."""
    rows = _panel().filter(pl.col("index").is_in(SEPARATE) & (pl.col("persona") != "random"))
    own = pl.DataFrame({"persona": list(STYLES), "own": [index for _, index, _ in STYLES.values()]})
    others = rows.join(own, on="persona").filter(pl.col("index") != pl.col("own"))["value"].abs()
    return [_at_most("largest index that is not the style's own", float(others.max()), 0.01, len(others))]


def mixtures() -> list[Record]:
    """Weights of a mixture of five styles, recovered by regression, where desirability goes with the key and not."""
    styles = {STYLES[name][0]: weight for name, weight in WEIGHTS.items()}
    found = []
    for shift in (0.0, 0.4):
        items = stubs.bank(desirable_key=shift)
        table = response_components(stubs.ask({"mixed": stubs.mixture(styles)}, items))
        weight = {(row["component"], row["facet"]): row for row in table.iter_rows(named=True)}
        for component, style, sign in (
            ("acquiescence", "yea-sayer", 1),
            ("order", "first position", -1),
            ("desirability", "desirability", 1),
        ):
            row = weight[component, None]
            found.append(_weight(f"weight of {style}, desirability shift {shift}", row, sign * WEIGHTS[style]))
        traits = [weight["trait", facet]["weight"] for facet in stubs.TRAITS]
        slope = float(np.polyfit(list(stubs.TRAITS.values()), traits, 1)[0])
        row = {"weight": slope, "low": slope, "high": slope, "n": len(items)}
        found.append(_weight(f"weight of content, desirability shift {shift}", row, WEIGHTS["content"]))
    return found


def desirability() -> list[Record]:
    """A condition that only makes answers more desirable, where desirable items are mostly keyed positive."""
    answers = stubs.ask({"self": stubs.mid_point, "meta": stubs.desirability_responder}, stubs.bank(desirable_key=0.4))
    table = partial_effects(answers, [("meta", "self")])
    raw, adjusted = (float(np.abs(table[name].to_numpy()).mean()) for name in ("raw", "adjusted"))
    ok = abs(raw - 0.4) < 0.01
    return [
        Record("desirability alone: mean |raw facet effect|", raw, raw, raw, 0.4, ok, table.height, "a false trait"),
        _at_most("desirability alone: mean |adjusted facet effect|", adjusted, 0.01, table.height),
    ]


def prior() -> list[Record]:
    """A label lover of 1.5 logits: order bias with and without the prior read from a content-free item."""
    lover = stubs.one_lover(1.5, stubs.softened(stubs.content_responder()))
    blank = stubs.content_free({"one": stubs.one_lover(1.5, stubs.even)})
    panel = bias_panel(stubs.ask({"one": lover}, stubs.bank()), prior=blank, n_resamples=200)
    value = dict(zip(panel["index"], panel["value"], strict=True))
    before, after = value["order_bias"], abs(value["order_bias_without_prior"])
    return [
        Record("label lover: order bias", before, before, before, None, before < -0.1, 192, "before subtraction"),
        _at_most("label lover: |order bias| without the prior", after, 1e-6, 192),
    ]


def components() -> list[Record]:
    """Variance components of simulated studies, and the phrasings that they say are needed."""
    runs = []
    for seed in range(100):
        table = g_study(_study(np.random.default_rng(seed)), by=None)
        runs.append(dict(zip(table["component"], table["estimate"], strict=True)))
    found = []
    for component in runs[0]:
        truth = ERROR if component.count(" x ") == 2 else COMPONENTS.get(component, 0.0)
        values = np.array([run[component] for run in runs])
        margin = 3.5 * float(values.std(ddof=1)) / np.sqrt(len(runs))
        mean = float(values.mean())
        ok = abs(mean - truth) <= margin
        name = f"variance of {component}"
        found.append(Record(name, mean, mean - margin, mean + margin, truth, ok, len(runs), "mean, 3.5 SE"))
    names = ["persona", "item", "persona x item", "persona x phrasing", "persona x item x phrasing"]
    planted = pl.DataFrame(
        {
            "component": names,
            "factors": [name.split(" x ") for name in names],
            "variance": [*COMPONENTS.values(), ERROR],
        }
    )
    # G with 10 items: .25 / (.25 + .009 + (.06 + .012) / v) >= .9 from v = .072 / (.25 / 9 - .009) = 3.8 on.
    needed = levels_needed(planted, target=0.9, item=10).filter(pl.col("coefficient") == "g")["n"][0]
    reached = float(d_study(planted, item=(10,), phrasing=(4,))["g"][0])
    ok = needed == 4 and reached >= 0.9
    return [
        *found,
        Record("phrasings needed for G = .9 with 10 items", needed, needed, needed, 4, ok, 1, f"G {reached:.3f}"),
    ]


def agreement() -> list[Record]:
    """The published example of Shrout & Fleiss (1979): six targets, four judges."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    rows = [
        {"persona": "self", "facet": f"f{i}", "phrasing": j, "trait": float(value)}
        for i, row in enumerate(ratings)
        for j, value in enumerate(row)
    ]
    table = variant_agreement(pl.DataFrame(rows), ())
    found = []
    for row, truth in zip(table.iter_rows(named=True), (0.29, 0.62), strict=True):
        ok = round(row["icc"], 2) == truth
        found.append(Record(row["coefficient"], row["icc"], row["low"], row["high"], truth, ok, 6, "to two decimals"))
    return found


def _panel() -> pl.DataFrame:
    """Of every style; the answers are the same each time."""
    styles = {name: style for name, (style, _, _) in STYLES.items()}
    return bias_panel(stubs.ask(styles, stubs.bank()), n_resamples=500)


def _study(rng: np.random.Generator) -> pl.DataFrame:
    """Answers of a crossed design with the planted variances."""
    factors = ("persona", "item", "phrasing")
    y = rng.normal(0, np.sqrt(ERROR), DESIGN)
    for component, variance in COMPONENTS.items():
        shape = [n if factor in component.split(" x ") else 1 for factor, n in zip(factors, DESIGN, strict=True)]
        y = y + rng.normal(0, np.sqrt(variance), shape)
    cells = np.indices(DESIGN).reshape(3, -1)
    return pl.DataFrame({**dict(zip(factors, cells, strict=True)), "agreement": y.ravel()}).with_columns(key=1)


def _weight(name: str, row: dict[str, Any], truth: float) -> Record:
    ok = abs(row["weight"] - truth) <= 0.05
    return Record(name, row["weight"], row["low"], row["high"], truth, ok, row["n"], "within .05")


def _at_most(name: str, value: float, limit: float, n: int) -> Record:
    return Record(name, value, value, value, limit, value <= limit, n, "at most")


if __name__ == "__main__":
    options = arguments(__doc__)
    table = records()
    show("Planted response styles and what was recovered", table, options.json)
    sys.exit(0 if all(record.ok for record in table) else 1)
