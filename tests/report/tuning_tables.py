"""Tables of the ideal-self study with planted effects: the first run moves by what it was taught, its controls less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

RUNS = {"meta-0": "meta", "meta-1": "meta", "self-0": "self", "shuffled-0": "shuffled", "meta-held-out-0": "meta"}
CLOSED = {"meta-0": 0.5, "meta-1": 0.45, "self-0": 0.05, "shuffled-0": 0.2, "meta-held-out-0": 0.4}
WEAK = "weak: the halves of ideal - before do not clearly agree, r = -0.35 [-0.95, 0.14]"
LAYERS = (4, 9)
WAYS = ("ideal - self", "facets", "shift of training", "preference")
CODED = {
    "tuning_runs": {"target", "held_out"},
    "tuning_gap": {"keys", "reading"},
    "tuning_beyond": {"keys", "reading"},
    "tuning_profiles": {"point"},
    "tuning_specificity": {"statistic", "toward", "given"},
    "tuning_shape": {"statistic"},
    "tuning_compared": {"way", "reading"},
    "tuning_compared_facets": {"way"},
    "tuning_unrequested": {"of", "unit"},
    "tuning_unrequested_totals": {"of", "part"},
    "tuning_selected": {"of", "level"},
}
"""Columns that hold the package's own words, by table."""
Row = dict[str, object]
_KINDS = (("both", False), ("both", True), ("positive", False), ("negative", False))
_NONE = {"value": None, "low": None, "high": None}


def tuning_tables(facets: Sequence[str]) -> dict[str, pl.DataFrame]:
    """All of them; facets that are held out are the first two."""
    rng = np.random.default_rng(31)
    names = list(facets)
    return {
        **_taught(names),
        **_movement(rng, names),
        **_toward(len(names)),
        **_elsewhere(),
        **_shift(rng),
        **_compared(rng, names),
        **_unrequested(rng, names),
    }


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """From rows, whatever the first of them lack; reasons are text though none was refused."""
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.with_columns(pl.col(pl.Null).cast(pl.Float64)).with_columns(
        pl.col(name).cast(pl.String)
        for name in ("refused", "ratio_refused", "distance_ratio_refused", "why_none", "why_null", "given", "reading")
        if name in table.columns
    )


def gap_row(run: str, closed: float | None, keys: str = "both", *, centred: bool = False, **more: object) -> Row:
    """A gap closed with an interval of a tenth to either side, or one that is refused."""
    refused = closed is None
    row: Row = {"run": run, "keys": keys, "centred": centred, "gap_closed": closed}
    row |= {"low": None if refused else closed - 0.1, "high": None if refused else closed + 0.1}
    row |= {"refused": WEAK if refused else None, "naive_biased": 0.2 if refused else closed + 0.05}
    return row | {"reading": "unclear", "n_facets": 25, "n_items": 200} | more


def gap_rows(run: str, closed: float | None, reading: str = "trait movement", **more: object) -> Iterator[Row]:
    """All four of a run; an answer shift moves + and - items apart."""
    for keys, centred in _KINDS:
        sign = -1 if keys == "negative" and reading == "answer shift" else 1
        value = None if closed is None else sign * closed
        yield gap_row(run, value, keys, centred=centred, **{"reading": reading, **more})


def compared_row(kind: str, way: str, slope: float | None = 0.4, **more: object) -> Row:
    """A way of moving the model."""
    row: Row = {"kind": kind, "way": way, "strength": 0.1, "is_matched": None, "why_none": None, "target": None}
    row |= {"response": None, "gap_closed": slope, "low": None, "high": None, "refused": None, "slope": slope}
    row |= {"slope_positive": slope, "slope_negative": slope, "reading": "trait movement", "like_tuned": 0.8}
    row |= {"drift": None, "drift_low": None, "drift_high": None, "kl": 0.02, "perplexity_ratio": 1.05}
    row |= {"label_mass": 0.9, "n_items": 200}
    if slope is not None:
        row |= {"low": slope - 0.1, "high": slope + 0.1}
    return row | more


def _taught(facets: Sequence[str]) -> dict[str, pl.DataFrame]:
    runs, history, examples = [], [], []
    for number, (run, target) in enumerate(RUNS.items()):
        held = ", ".join(facets[:2]) if "held" in run else ""
        about = {"run": run, "target": target, "seed": number % 2, "reasons": False, "held_out": held}
        about |= {"n_train": 240, "n_validation": 50, "n_taught": 480, "best_epoch": 2, "has_learned": True}
        runs.append(about | {"untrained_loss": 2.0, "validation_loss": 1.1})
        for epoch, loss in enumerate((2.0, 1.3, 1.1)):
            history.append({"run": run, "epoch": epoch, "validation_loss": loss + 0.1 * number, "best": epoch == 2})
        for item in range(3):
            text = f"<|user|>\nReply with one number.\n\nStatement: I am item {item}.\nRating: "
            one = {"run": run, "example": f"item_{item}/ascending", "n_prompt": 40, "n_taught": 2}
            examples.append(one | {"prompt": text, "answer": str(1 + item)})
    return {"tuning_runs": frame(runs), "tuning_history": frame(history), "tuning_examples": frame(examples)}


def _movement(rng: np.random.Generator, facets: Sequence[str]) -> dict[str, pl.DataFrame]:
    before = {facet: rng.normal(0, 0.1) for facet in facets}
    gap = {facet: rng.normal(0.2, 0.1) for facet in facets}
    profiles, closure, drift, drifts = [], [], [], []
    for run, closed in CLOSED.items():
        for facet in facets:
            moved = closed * gap[facet]
            away = 0.02 if facet != facets[-1] else 0.2
            ends = {"before": before[facet], "ideal": before[facet] + gap[facet], "after": before[facet] + moved}
            for point, trait in (ends | {"ideal_after": ends["ideal"] + away}).items():
                row = {"run": run, "point": point, "facet": facet, "trait": trait, "low": trait - 0.05}
                profiles.append(row | {"high": trait + 0.05, "n_items": 8})
            one = {"run": run, "facet": facet, "gap": gap[facet], "moved": moved, "moved_low": moved - 0.05}
            one |= {"moved_high": moved + 0.05, "q": 0.01 if moved > 0.05 else 0.4, "closed": closed, "n": 8}
            closure.append(one | {"closed_low": closed - 0.2, "closed_high": closed + 0.2, "why_null": None})
            same = {"run": run, "facet": facet, "difference": away, "low": away - 0.04, "high": away + 0.04}
            drift.append(same | {"bound": 0.1, "equivalent": away < 0.05, "n": 8})
        mean = {"run": run, "drift": 0.03, "drift_low": 0.01, "drift_high": 0.05, "bound": 0.1}
        mean |= {"n_equivalent": len(facets) - 1, "distance_ratio": 1 - closed, "distance_ratio_low": 0.9 - closed}
        mean |= {"distance_ratio_high": 1.1 - closed, "distance_ratio_naive_biased": 0.9}
        drifts.append(mean | {"distance_ratio_refused": None, "n_facets": len(facets), "n_items": 200})
    beyond = [
        row | {"other": other}
        for other, closed in CLOSED.items()
        if other != "meta-0"
        for row in gap_rows("meta-0", CLOSED["meta-0"] - closed)
    ]
    gaps = [row for run, closed in CLOSED.items() for row in gap_rows(run, closed)]
    found = {"tuning_profiles": profiles, "tuning_closure": closure, "tuning_gap": gaps, "tuning_beyond": beyond}
    found |= {"tuning_drift_facets": drift, "tuning_drift": drifts}
    return {name: frame(rows) for name, rows in found.items()}


def _toward(n_facets: int) -> dict[str, pl.DataFrame]:
    about = {"n_facets": n_facets, "n_items": 200}

    def estimate(value: float) -> Row:
        return {
            "value": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "naive_biased": value,
            "refused": None,
            **about,
        }

    specific, shape, alike = [], [], []
    for run, closed in CLOSED.items():
        numbers = (
            ("gap closed", "ideal", None, closed),
            ("gap closed", "other", None, closed / 2),
            ("partial cosine", "ideal", "other", closed),
            ("partial cosine", "other", "ideal", 0.02),
            ("cosine of the gaps", "ideal", "other", 0.6),
        )
        for statistic, toward, given, value in numbers:
            specific.append({"run": run, "statistic": statistic, "toward": toward, "given": given, **estimate(value)})
        for statistic, value in (
            ("cosine", 0.8),
            ("norm_ratio", closed),
            ("orthogonal_share", 0.36),
            ("rank_correlation", 0.7),
        ):
            ceiling = 0.75 if statistic == "cosine" else None
            shape.append({"run": run, "statistic": statistic, **estimate(value), "ceiling": ceiling})
        for other in RUNS:
            if other != run:
                r = 0.8 if RUNS[other] == RUNS[run] else 0.1
                alike.append({"run": run, "other": other, "r": r, "low": r - 0.2, "high": r + 0.15, "n": n_facets})
    found = {"tuning_specificity": specific, "tuning_shape": shape, "tuning_likeness": alike}
    return {name: frame(rows) for name, rows in found.items()}


def _elsewhere() -> dict[str, pl.DataFrame]:
    def carried(form: str, closed: float | None) -> Row:
        row: Row = {"form": form, **gap_row("", closed)}
        ratio = None if closed is None else 2 * closed
        row |= {"ratio": ratio, "ratio_low": None if ratio is None else ratio - 0.3}
        row |= {"ratio_high": None if ratio is None else ratio + 0.3, "ratio_refused": row["refused"]}
        return {name: value for name, value in row.items() if name not in ("run", "keys", "centred", "n_facets")}

    forms = [carried("wording 2", 0.4), carried("forced choice", None)]
    held = [{"run": "meta-held-out-0", **carried("held-out facets", 0.3)}]
    damage = []
    for run, closed in CLOSED.items():
        row: Row = {"run": run, "kl": 0.02 + closed / 10, "perplexity_ratio": 1.02 + closed / 10, "n_tokens": 900}
        before = {"label_mass": 0.9, "acquiescence": 0.1, "order_bias": 0.3, "entropy": 1.1}
        row |= {f"{name}_before": value for name, value in before.items()}
        damage.append(row | {f"{name}_after": value + 0.02 for name, value in before.items()})
    found = {"tuning_transfer": forms, "tuning_held_out": held, "tuning_side_effects": damage}
    return {name: frame(rows) for name, rows in found.items()}


def _shift(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    along, span = [], []
    for layer in LAYERS:
        for run, closed in CLOSED.items():
            about = {"run": run, "layer": layer, "length": 0.1, "halves": 0.9, "n": 200, "null_high": 0.3}
            others = [("direction", way, closed * (0.9 if way == WAYS[0] else 0.2)) for way in WAYS if way != WAYS[2]]
            others += [("run", other, 0.7 if RUNS[other] == RUNS[run] else 0.2) for other in RUNS if other != run]
            along += [about | {"kind": kind, "other": name, "cosine": cosine} for kind, name, cosine in others]
            for kind in ("isotropic", "variance-matched", "moment-matched"):
                high = 0.1 + rng.random() / 10
                row = {"run": run, "layer": layer, "rank": 25, "share": closed, "kind": kind, "p": 0.02}
                span.append(row | {"random_mean": high / 2, "random_high": high})
    return {"tuning_shift": frame(along), "tuning_subspace": frame(span)}


def _compared(rng: np.random.Generator, facets: Sequence[str]) -> dict[str, pl.DataFrame]:
    matched = {"is_matched": True, "target": 0.4, "response": 0.4, "drift": 0.02, "drift_low": 0.0, "drift_high": 0.04}
    short = {"is_matched": False, "why_none": "the response is largest at -0.2, where it is 0.1", "target": 0.4}
    still = {"is_matched": False, "why_none": "the response turns back at 0, where it is 0", "target": 0.4}
    nothing = {name: None for name in compared_row("", "") if name not in ("kind", "way", *still)}
    rows = [
        compared_row("tuned", "meta-0", 0.5, strength=None, like_tuned=1.0),
        compared_row("steered", WAYS[0], 0.42, **matched),
        compared_row("steered", WAYS[1], 0.1, **{**short, "strength": -0.2}),
        compared_row("steered", WAYS[2], 0.45, **matched),
        compared_row("steered", WAYS[3], **{**nothing, **still, "strength": 0.0}),
    ]
    for kind, own, random in (("shift added", 0.4, 0.05), ("shift removed", 0.1, 0.45), ("shift held", 0.2, 0.4)):
        rows.append(compared_row(kind, WAYS[2], own))
        rows += [compared_row(kind, f"random {n}", random + n / 100) for n in range(1, 6)]
    responses = []
    for way in WAYS:
        peak = 0.1 if way == WAYS[1] else 0.2
        for c in (0.05, 0.1, 0.2):
            row = {"way": way, "coefficient": c, "response": 4 * min(c, peak), "past_peak": c > peak}
            responses.append(row | {"is_match": c == 0.1 and way in (WAYS[0], WAYS[2])})
    moved = [
        {"kind": row["kind"], "way": row["way"], "facet": facet, "moved": rng.normal(0.1, 0.05)}
        for row in rows
        if row["slope"] is not None
        for facet in facets
    ]
    found = {"tuning_compared": rows, "tuning_responses": responses, "tuning_compared_facets": moved}
    return {name: frame(rows) for name, rows in found.items()}


def _unrequested(rng: np.random.Generator, facets: Sequence[str]) -> dict[str, pl.DataFrame]:
    """A narrow run that moved its facet by .4 and the second one by .2, and one that was taught choices."""
    units, totals, selected, projection = [], [], [], []
    for run, taught in (("low-sincerity-0", facets[0]), ("like-poetry-0", "poetry")):
        for of, names in (("facets", facets), ("utilities", ("poetry", "math", "coding"))):
            for place, unit in enumerate(names):
                moved = 0.4 if unit == taught else 0.2 if place == 1 else rng.normal(0, 0.01)
                row: Row = {"run": run, "of": of, "unit": unit, "taught": unit == taught, "moved": moved}
                units.append(row | {"low": moved - 0.1, "high": moved + 0.1, "q": 0.01 if abs(moved) > 0.1 else 0.8})
            for part in ("unrequested", "control run"):
                p = 0.01 if part == "unrequested" else 0.6
                row = {"run": run, "of": of, "part": part, "mean_absolute": 0.05, "floor": 0.02, "p": p}
                totals.append(row | {"n_units": len(names)})
        found = {"cosine": 0.6, "low": 0.3, "high": 0.8, "refused": None, "p": 0.01, "q": 0.02}
        nothing = dict.fromkeys(("cosine", "low", "high"))
        selected.append({"run": run, "of": "facets", "persona": "evil", "level": None, "r": None, **found})
        selected.append(selected[-1] | {"persona": "meta", **nothing, "refused": WEAK, "p": 0.7, "q": 0.7})
        selected.append(selected[-2] | {"of": "utilities", "level": "between topics", "r": 0.5, "cosine": None})
        for layer in LAYERS:
            row = {"run": run, "persona": "evil", "layer": layer, "way": 0.3, "low": 0.2, "high": 0.4, "n": 200}
            projection.append(row | {"cosine": 0.5, "null_high": 0.3, "beyond": layer == LAYERS[0]})
    tables = {"": units, "_totals": totals}
    found = {f"tuning_unrequested{name}": frame(rows) for name, rows in tables.items()}
    return {**found, "tuning_selected": frame(selected), "tuning_projection": frame(projection)}
