"""Synthetic tables of a layer sweep: probes with controls, what they survive, directions, and another model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

SWEPT = list(range(0, 30, 3))
MODELS = ("big_model", "small-model")
Row = dict[str, object]


def probe_numbers(value: float, *, chance: float = 0.0, words: float = 0.2, n: int = 80) -> Row:
    """The columns of `ProbeResult.frame` after the place, with controls around `chance` and text around `words`."""
    over = value - words
    return {
        **{"metric": "r", "value": value, "low": value - 0.09, "high": value + 0.09, "n": n},
        **{"shuffled": chance - 0.01, "shuffled_high": chance + 0.12, "p_value": 0.05},
        **{"random_direction": chance + 0.05, "random_direction_high": chance + 0.16},
        **{"matched_direction": chance + 0.07, "matched_direction_high": chance + 0.19},
        **{"text_baseline": words - 0.05, "encoder_baseline": words},
        **{"over_text": over, "over_text_low": over - 0.08, "over_text_high": over + 0.08},
        **{"within_group": value - 0.14, "penalty": 1000.0},
    }


def sweep_tables(
    rng: np.random.Generator, topics: Sequence[str], facets: Sequence[str], layers: Sequence[int] = SWEPT
) -> dict[str, pl.DataFrame]:
    targets = {"utility": ("assistant", topics, 0.5), "item score": ("all", facets, 0.35)}
    found: dict[str, list[Row]] = {name: [] for name in ("leave_one_group", "confounds", "removals")}
    for target, (persona, groups, height) in targets.items():
        for layer in layers:
            place = {"target": target, "persona": persona, "position": "eot", "layer": layer}
            value = float(height * (1 - np.exp(-layer / 7)) + rng.normal(0, 0.02))
            found["leave_one_group"] += _left_out(rng, place, groups, value)
            for without, share, left in (("topic means removed", 0.6, None), ("text removed", 0.4, 0.7 - layer / 100)):
                own = place | {"target": f"{target}, {without}"}
                found["confounds"].append(own | probe_numbers(share * value) | {"variance_left": left})
            found["removals"] += _removals(rng, place, value)
    return {
        **{name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in found.items()},
        **_layers(rng, layers),
        **_facets(rng, facets, layers),
        "cross_model": _cross_model(rng, layers),
    }


def _left_out(rng: np.random.Generator, place: Row, groups: Sequence[str], value: float) -> list[Row]:
    whats = {
        "pooled": value,
        "mean over groups": 0.5 * value,
        "weighted mean": 0.5 * value,
        "within groups": 0.6 * value,
    }
    named = [(what, None, number) for what, number in whats.items()]
    named += [("group", group, float(np.clip(0.5 * value + rng.normal(0, 0.25), -1, 1))) for group in groups]
    rows = []
    for what, group, number in named:
        wide = 0.1 if group is None else 0.4
        numbers = {"value": number, "low": max(-1.0, number - wide), "high": min(1.0, number + wide)}
        numbers |= {"n": 80 if group is None else 10, "n_groups": len(groups) if group is None else 1}
        controls = {"shuffled": 0.0, "shuffled_high": 0.12 if group is None else 0.5}
        controls |= {"text_baseline": 0.15, "encoder_baseline": 0.2}
        ceiling = 0.88 if what == "pooled" else 0.85 if what == "within groups" else None
        last = {"ceiling": ceiling, "corrected": number / ceiling if ceiling else None}
        rows.append(place | {"what": what, "group": group, "metric": "r"} | numbers | controls | last)
        if what == "pooled":
            rows.append(rows[-1] | {"metric": "accuracy", "value": 0.6, "low": 0.5, "high": 0.7, "ceiling": None})
    return rows


def _removals(rng: np.random.Generator, place: Row, value: float) -> list[Row]:
    rows = []
    for removed, draw in (("probe", None), *(("random", number) for number in range(3))):
        for step in range(6):
            lost = 0.25 * step if removed == "probe" else 0.01 * step
            r = value * (1 - lost) + (float(rng.normal(0, 0.01)) if step else 0.0)
            rows.append(
                place
                | {"step": step, "removed": removed, "draw": draw, "r": r, "low": r - 0.1, "high": r + 0.1}
                | {"within_group": r - 0.1, "shuffled_high": 0.12, "n": 80}
            )
    return rows


def _layers(rng: np.random.Generator, layers: Sequence[int]) -> dict[str, pl.DataFrame]:
    agreement, norms = [], []
    for layer in layers:
        for other in layers:
            near = float(np.exp(-abs(layer - other) / 6))
            r = 0.5 * near * (1 - np.exp(-other / 7)) + float(rng.normal(0, 0.02))
            agreement.append({"layer": layer, "other": other, "cosine": near, "r": r, "n": 80})
        for store in ("tasks", "hexaco"):
            for place, position in enumerate(("eot", "mean:item")):
                mean = 10.0 * np.exp(layer / 6) / (1 + place) + (store == "tasks")
                numbers = {"mean": float(mean), "sd": float(0.1 * mean), "n": 80}
                norms.append({"store": store, "layer": layer, "position": position} | numbers)
    return {"layer_agreement": pl.DataFrame(agreement), "residual_norms": pl.DataFrame(norms)}


def _facets(rng: np.random.Generator, facets: Sequence[str], layers: Sequence[int]) -> dict[str, pl.DataFrame]:
    probes, cosines = [], []
    heights = dict(zip(facets, rng.uniform(0.0, 0.6, len(facets)), strict=True))
    for layer in layers:
        for facet, height in heights.items():
            place = {"target": facet, "persona": "all", "position": "eot", "layer": layer}
            value = float(height * (1 - np.exp(-layer / 7)))
            probes.append(place | probe_numbers(value, n=40) | {"encoder_baseline": None})
        names = ["preference", *facets]
        for direction in names:
            for other in names:
                if direction != other:
                    cosine = float(np.clip(rng.normal(0.0, 0.15), -1, 1))
                    pair = {"direction": direction, "other": other, "layer": layer}
                    cosines.append(pair | {"cosine": cosine, "null_high": float(rng.uniform(0.2, 0.4))})
    return {
        "facet_probes": pl.DataFrame(probes, infer_schema_length=None).cast({"encoder_baseline": pl.Float64}),
        "facet_cosines": pl.DataFrame(cosines),
    }


def _cross_model(rng: np.random.Generator, layers: Sequence[int]) -> pl.DataFrame:
    rows = []
    for model, own_layers in zip(MODELS, (layers, layers[: len(layers) // 2]), strict=True):
        for utilities_of in MODELS:
            for layer in own_layers:
                value = (0.5 if model == utilities_of else 0.3) * (1 - np.exp(-layer / 7)) + rng.normal(0, 0.02)
                place = {"model": model, "utilities_of": utilities_of, "persona": "assistant", "position": "eot"}
                ends = (1.0, 1.0, 1.0) if model == utilities_of else (0.4, 0.2, 0.6)
                utilities = dict(zip(("utility_r", "utility_low", "utility_high"), ends, strict=True))
                rows.append(place | {"layer": layer} | probe_numbers(float(value)) | utilities)
    return pl.DataFrame(rows)
