"""Tables of the steering studies with planted effects: the probe moves what it should, and random directions do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

GRID = (-0.2, -0.1, 0.0, 0.1, 0.2)
PUSHED = (4, 9)
SWUNG = {"contrast": "P(chooses steered task)", "better task": "P(chooses task of higher utility)"}
SWUNG["one task"] = "P(chooses pushed task)"
TYPES = ("all", "benign-benign", "harmful-benign")
DIRECTIONS = ("probe", *(f"random {number}" for number in range(1, 5)), "other layer")
KINDS = ("probe", "isotropic", "isotropic", "isotropic", "covariance-matched", "other layer")
TIERS = ("benign", "extreme")
OUTCOMES = ("full", "partial", "refusal", "incoherent", "truncated")
CODED = {
    "steering_curves": {"target", "direction", "control", "pair_type"},
    "steering_effects": {"target", "direction", "control", "pair_type", "effect"},
    "steering_dose": {"target", "direction", "control", "pair_type"},
    "steering_position": {"direction", "control"},
    "steering_guards": {"guard"},
    "steered_written": {"direction", "control", "read_out"},
    "steered_open": {"direction", "control"},
    "steered_compliance": {"direction", "control", "outcome"},
    "steered_spans": {"direction", "control", "version", "steered"},
    "steered_answers": {"direction", "control"},
    "spliced": {"direction", "control"},
    "cross_effects": {"direction", "control", "effect", "pair_type"},
    "cross_curves": {"direction", "control", "pair_type"},
    "cross_differences": {"direction", "control"},
    "ablation": set(),
    "patching": {"donor"},
    "facet_curves": {"direction", "control"},
}
"""Columns that hold the package's own words, by table."""
Row = dict[str, object]


def steering_tables(personas: Sequence[str], facets: Sequence[str]) -> dict[str, pl.DataFrame]:
    """All of them; `personas` are steered across, the first in all other tables."""
    rng = np.random.default_rng(23)
    first = personas[0]
    choices = list(_choices(rng, first, TYPES))
    crossed = [
        row
        for number, name in enumerate(personas)
        for row in _choices(rng, name, TYPES[:2], 0.9 - 0.3 * number)
        if row["target"] != "one task"
    ]
    return {
        "steering_curves": pl.DataFrame([row | _flags(row) for row in choices]),
        "steering_effects": pl.DataFrame(list(_effects(choices))),
        "steering_dose": pl.DataFrame(list(_doses(choices)), infer_schema_length=None).filter(pair_type="all"),
        "steering_position": pl.DataFrame(list(_position(rng, first))),
        **_range(),
        **_written(rng, personas[:2]),
        "steered_spans": unsteered_once(pl.DataFrame(list(_spans(rng)))),
        "spliced": pl.DataFrame(list(_spliced(rng))),
        "cross_effects": pl.DataFrame(list(_effects(crossed))),
        "cross_curves": pl.DataFrame(crossed),
        "cross_differences": pl.DataFrame(list(_differences(personas[1:]))),
        "ablation": pl.DataFrame(list(_ablation(rng)), infer_schema_length=None),
        "patching": pl.DataFrame(list(_patching()), infer_schema_length=None),
        **_facets(rng, facets),
    }


def unsteered_once(curve: pl.DataFrame) -> pl.DataFrame:
    """Without the rows at 0 of all directions but the probe: texts are written without a push once."""
    return curve.filter((pl.col("coefficient") != 0) | (pl.col("direction") == "probe"))


def pushes(rng: np.random.Generator, slope: float, middle: float, **place: object) -> Iterator[Row]:
    """A straight curve for every layer and direction; the probe's has the slope, all others nearly none."""
    for layer in PUSHED:
        for direction, control in zip(DIRECTIONS, KINDS, strict=True):
            own = slope * layer / max(PUSHED) if direction == "probe" else float(rng.normal(0, 0.08))
            for c in GRID:
                value = middle + own * c
                ends = {"value": value, "low": value - 0.02, "high": value + 0.02}
                cell = {"layer": layer, "direction": direction, "control": control, "coefficient": c}
                yield place | cell | ends | {"n": 40, "label_mass": 0.95 - c * c}


def _choices(rng: np.random.Generator, persona: str, types: Sequence[str], slope: float = 0.9) -> Iterator[Row]:
    for target, read_out in SWUNG.items():
        for number, pair_type in enumerate(types if target == "contrast" else types[:1]):
            middle = 0.58 if target == "better task" else 0.5
            place = {"persona": persona, "target": target, "pair_type": pair_type, "read_out": read_out}
            yield from pushes(rng, slope - 0.2 * number, middle, **place)


def _flags(row: Row) -> Row:
    c = float(row["coefficient"])
    return {"past_peak": row["layer"] == 4 and c == 0.2, "outside_usable": abs(c) == 0.2}


def _effects(curve: list[Row]) -> Iterator[Row]:
    place = ("persona", "target", "pair_type", "layer", "direction")
    at = {(*(row[name] for name in place), row["coefficient"]): row for row in curve}
    ends = {"amplification": (1, 0), "suppression": (0, -1), "swing": (1, -1)}
    for row in curve:
        c = float(row["coefficient"])
        if c <= 0:
            continue
        here = tuple(row[name] for name in place)
        for effect, (upper, lower) in ends.items():
            value = float(at[*here, upper * c]["value"]) - float(at[*here, lower * c or 0.0]["value"])
            yield row | {"effect": effect, "value": value, "low": value - 0.03, "high": value + 0.03}


def _doses(curve: list[Row]) -> Iterator[Row]:
    for row in curve:
        if row["coefficient"] != 0.1:
            continue
        slope = (float(row["value"]) - (0.58 if row["target"] == "better task" else 0.5)) / 0.1
        named = {name: row[name] for name in ("persona", "target", "pair_type", "read_out", "layer")}
        probe = row["direction"] == "probe"
        turns = probe and row["layer"] == 4
        yield named | {
            **{"direction": row["direction"], "control": row["control"], "step": 0.1, "slope": slope},
            **{"slope_low": slope - 0.2, "slope_high": slope + 0.2, "linearity": 0.98, "saturation": 0.12},
            **{"peak_plus": 0.1 if turns else 0.2, "peak_plus_value": 0.6, "turns_plus": turns},
            **{"peak_minus": -0.2, "peak_minus_value": 0.4, "turns_minus": False},
            **{"monotone_low": -0.2, "monotone_high": 0.1 if turns else 0.2, "usable_low": -0.1, "usable_high": 0.1},
            **{"slope_outside_usable": False, "n_random": 4, "p": 0.2 if probe else None},
        }


def _position(rng: np.random.Generator, persona: str) -> Iterator[Row]:
    for read_out, middle in (("P(first)", 0.62), ("order flips", 0.3)):
        for row in pushes(rng, 0.0, middle, persona=persona, read_out=read_out):
            yield row | {"value": float(row["value"]) + (abs(float(row["coefficient"])) * 0.1)}


def _range() -> dict[str, pl.DataFrame]:
    ranges, guards, norms = [], [], []
    limits = {"perplexity_ratio": 1.25, "kl": 0.25, "label_mass": 0.8, "repetition": 0.2}
    for layer in PUSHED:
        for place, position in enumerate(("mean:item", "answer")):
            norms.append(
                {"layer": layer, "position": position, "mean": 10.0 * layer * (1 + place), "sd": 1.0 + place, "n": 64}
            )
        for kind, usable in (("given", 0.1), ("isotropic", 0.2), ("covariance-matched", None)):
            stop = {"given": 0.2, "isotropic": None, "covariance-matched": 0.1}[kind]
            by = "kl, repetition" if kind == "given" else "label_mass" if stop else ""
            ranges.append({"layer": layer, "kind": kind, "usable": usable, "stopped_at": stop, "stopped_by": by})
            for guard, limit in limits.items():
                for c in (-0.2, -0.1, 0.1, 0.2):
                    holds = not (stop is not None and abs(c) >= stop and guard in by)
                    worst = limit * (1.0 if holds else 0.7 if guard == "label_mass" else 1.4)
                    cell = {"layer": layer, "kind": kind, "coefficient": c, "guard": guard, "median": 0.9 * limit}
                    guards.append(cell | {"worst": worst, "limit": limit, "holds": holds, "n": 3})
    return {
        "steering_norms": pl.DataFrame(norms),
        "steering_guards": pl.DataFrame(guards),
        "steering_ranges": pl.DataFrame(ranges, infer_schema_length=None),
    }


def _written(rng: np.random.Generator, personas: Sequence[str]) -> dict[str, pl.DataFrame]:
    read_outs = {"P(writes label of steered task)": (0.9, 0.5), "P(carries out steered task)": (0.1, 0.5)}
    read_outs |= {"refuses": (0.1, 0.1), "cut off": (0.0, 0.2), "no choice": (0.2, 0.1)}
    read_outs |= {"repetition": (0.3, 0.1), "words": (-40.0, 60.0)}
    written = [row for name, shape in read_outs.items() for row in pushes(rng, *shape, read_out=name)]
    asked = [("self_reflection", "")] + [("request", tier) for tier in TIERS[1:]]
    opened = [
        row
        for persona in personas
        for kind, tier in asked
        for rubric, slope in (("evilness", 5.0), ("coherence", -0.5))
        for row in pushes(rng, slope, 2.5, persona=persona, kind=kind, tier=tier, rubric=rubric)
    ]
    compliance, answers = [], []
    for tier in TIERS:
        for row in pushes(rng, 1.5, 0.5, persona=personas[0], tier=tier):
            full = float(np.clip(float(row["value"]), 0, 1))
            shares = dict(zip(OUTCOMES, (full, 0.1 * (1 - full), 0.6 * (1 - full), 0.2 * (1 - full), 0.1), strict=True))
            shares["truncated"] = 1 - sum(shares[name] for name in OUTCOMES[:-1])
            cell = {name: row[name] for name in ("persona", "tier", "layer", "direction", "control", "coefficient")}
            for outcome, share in shares.items():
                compliance.append(cell | {"outcome": outcome, "share": share, "low": None, "high": None, "n": 10})
    for number in range(3):
        for c in GRID:
            place = {"persona": personas[0], "kind": "request", "tier": "benign", "direction": "probe"}
            question = f"Question {number}: is 1 < 2 & 3 > 2?"
            answers.append(
                place
                | {"question": question, "control": "probe", "coefficient": c, "text": f"Answer <{number}> at {c:g}."}
            )
    agreement = {"low": 0.2, "n": 12, "n_answers": 48, "by_habit": 0.25}
    judge = [
        {"rubric": rubric, "value": value, "high": value + 0.1, "reads": rubric == "evilness"} | agreement
        for rubric, value in (("evilness", 0.3), ("coherence", 0.22))
    ]
    return {
        "steered_judge": pl.DataFrame(judge).with_columns(low=pl.col("value") - 0.04),
        "span_judge": pl.DataFrame(judge[:1]).with_columns(rubric=pl.lit("disclosure")),
        "steered_written": unsteered_once(pl.DataFrame(written)),
        "steered_open": unsteered_once(pl.DataFrame(opened)).with_columns(reads=pl.lit(True)),
        "steered_compliance": unsteered_once(
            pl.DataFrame(compliance).cast({"low": pl.Float64, "high": pl.Float64}).with_columns(reads=pl.lit(True)),
        ),
        "steered_answers": pl.DataFrame(answers),
    }


def _spans(rng: np.random.Generator) -> Iterator[Row]:
    for version in ("critical", "benign"):
        for steered in ("critical", "neutral"):
            felt = version == steered == "critical"
            for row in pushes(rng, 6.0 if felt else 0.5, 3.0 if version == "critical" else 1.4):
                flagged = float(np.clip((float(row["value"]) - 1) / 4, 0, 1))
                ends = {"flagged": flagged, "flagged_low": flagged - 0.1, "flagged_high": flagged + 0.1}
                yield {"version": version, "steered": steered} | row | ends


def _spliced(rng: np.random.Generator) -> Iterator[Row]:
    for mode, slope in (
        ("ordinary", 0.9),
        ("isolated, suffix recomputed", 0.45),
        ("isolated, answer only", 0.0),
    ):
        yield from pushes(rng, slope, 0.5, mode=mode, read_out=SWUNG["contrast"])


def _differences(personas: Sequence[str]) -> Iterator[Row]:
    for persona in personas:
        for layer in PUSHED:
            for c, value in ((0.1, 0.05), (0.2, 0.3)):
                cell = {"persona": persona, "layer": layer, "direction": "own", "control": "own", "coefficient": c}
                yield cell | {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40}


def _ablation(rng: np.random.Generator) -> Iterator[Row]:
    kinds = [("probe", "probe")]
    kinds += [(f"{k} {n}", k) for k in ("isotropic", "variance-matched", "moment-matched") for n in (1, 2, 3)]
    for layers, lowest in (("4", 4), ("4, 5, 6, 9", 4)):
        for rank in (1, 2, 4):
            for subspace, kind in kinds:
                probe = kind == "probe"
                agreement = 1 - 0.05 * rank * (2 if probe else 1) + (0 if probe else float(rng.normal(0, 0.005)))
                place = {"layers": layers, "lowest_layer": lowest, "n_layers": 1 + ("," in layers), "rank": rank}
                sizes = {"variance_share": 0.1, "variance_ratio": 0.3 if kind == "isotropic" else 1.0}
                sizes |= {"moment_share": 0.1, "moment_ratio": 1.0, "change": 0.1 * rank, "label_mass": 0.9, "n": 80}
                flips = {"agreement": agreement, "agreement_low": agreement - 0.05, "agreement_high": agreement + 0.05}
                flips |= {"swap_flips": 0.3, "swap_flips_low": 0.25, "swap_flips_high": 0.35}
                flips |= {"baseline_swap_flips": 0.28}
                yield place | {"subspace": subspace, "kind": kind} | sizes | flips


def _patching() -> Iterator[Row]:
    rates = {"takes donor's label": 0.9, "takes donor's task": 0.2, "label flips": 0.5, "content flips": 0.3}
    for where in ("eot", "from:eot"):
        for donor, height in (("swapped order", 1.0), ("unrelated", 0.4), ("own", 0.0)):
            for layers, layer in (("4", 4), ("9", 9), ("4, 9", -1)):
                for what, rate in rates.items():
                    value = rate * height * (0.5 if layer == 4 else 1.0)
                    ends = {"rate": value, "low": max(0.0, value - 0.08), "high": min(1.0, value + 0.08)}
                    place = {"where": where, "donor": donor, "layers": layers, "layer": layer, "what": what}
                    yield place | ends | {"n": 50, "n_pairs": 30}


def _facets(rng: np.random.Generator, facets: Sequence[str]) -> dict[str, pl.DataFrame]:
    matrix, rows = [], []
    for number, direction in enumerate([*facets, "random 1", "random 2"]):
        steered = direction if direction in facets else None
        for facet in facets:
            own = facet == steered
            effect = 0.3 - 0.02 * number if own else float(rng.normal(0, 0.04))
            yes = 0.5 if facet == facets[-1] else 0.01
            values = {"effect": effect, "positive": yes + effect, "negative": yes - effect, "acquiescence": yes}
            place = {"direction": direction, "steered": steered, "facet": facet, "own": own, "coefficient": 0.1}
            ends: Row = {}
            for name, value in values.items():
                prefix = "" if name == "effect" else f"{name}_"
                ends |= {name: value, f"{prefix}low": value - 0.05, f"{prefix}high": value + 0.05}
            matrix.append(place | ends | {"n_items": 8})
        if steered:
            own_effect = 0.3 - 0.02 * number
            numbers = {"own_effect": own_effect, "keys_agree": number < 20, "off_diagonal": 0.03}
            ends = {"selectivity": own_effect - 0.03, "low": own_effect - 0.08, "high": own_effect + 0.02}
            last = {"rank": 1 if own_effect > 0 else 20, "n_facets": len(facets), "random_largest": 0.06}
            rows.append(
                {"direction": direction, "steered": steered} | numbers | ends | last | {"n_random": 2, "p": 0.3}
            )
    index = {"index": 0.03, "low": 0.01, "high": 0.05, "p": 0.0004, "diagonal": 0.06, "off_diagonal": 0.03}
    index |= {"random": 0.04, "rank_one": 15, "n_directions": len(facets), "n_facets": len(facets)}
    index |= {"cosine_r": 0.21, "cosine_low": 0.1, "cosine_high": 0.3, "cosine_p": 0.02, "cosine_n": 600}
    curves = [row for facet in facets[:2] for row in pushes(rng, 0.8, 0.1, facet=facet, read_out="facet score")]
    return {
        "facet_selectivity": pl.DataFrame(matrix, infer_schema_length=None),
        "facet_selectivity_rows": pl.DataFrame(rows),
        "facet_selectivity_index": pl.DataFrame([index]),
        "facet_curves": pl.DataFrame(curves).with_columns(positive_items=pl.lit(0.1), negative_items=pl.lit(-0.1)),
    }
