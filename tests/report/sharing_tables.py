"""Tables of transfer between personas and of induced shifts, with the columns and sizes of a study's."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import polars as pl

from personascope.measures.shifts import KNOWN

SETS = {"truth": 0.9, "harm": -0.6, "politics": 0.1}
TURNS = ("bare", "reply")
READERS = ("assistant", "evil", "poet")
DESIGNS = ("targeted", "conflict", "opposing", "biography")
SCORERS = ("probe", "encoder", *(f"random {number}" for number in range(1, 6)))
CODED = {
    "matched_choices": {"direction"},
    "shift_cells": {"scorer", "role"},
    "shift_correlations": {"scorer", "cells", "statistic"},
    "shift_levels": {"scorer", "cells", "statistic"},
    "shift_targets": {"measure", "contrast"},
    "shift_rank_summary": {"measure"},
    "stimulus_effects": {"scorer"},
    "stimulus_differences": {"scorer"},
}
"""Columns that hold the package's own words, by table."""
CONTRASTS = ("directed", "toward", "away", "mention", "toward - mention", "mention - away")


def sharing_tables(
    transfer: pl.DataFrame, personas: list[str], answering: list[str], rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """All tables of both studies beside `transfer`, which is given back with what newer runs add to it."""
    layers = transfer["layer"].unique(maintain_order=True).to_list()
    facets = transfer.filter(pl.col("train").is_in(personas[:3]) & pl.col("test").is_in(personas[:3]))
    renamed = dict(zip(personas[:3], answering, strict=False))
    facets = facets.with_columns(pl.col("train", "test").replace(renamed))
    return {
        "transfer": corrected(transfer),
        **_summaries(transfer, personas, layers, rng),
        **_whose(personas, layers, rng),
        "facet_transfer": facets.with_columns(within_group=pl.lit(0.1)),
        **{f"facet_{name}": frame for name, frame in _summaries(facets, answering[:3], layers, rng).items()},
        **shift_tables(layers[::3], rng),
        **stimulus_tables(layers, rng),
    }


def corrected(transfer: pl.DataFrame) -> pl.DataFrame:
    """The table with r corrected for reliabilities of 0.81, and the same transfer from sentence embeddings."""
    apart = pl.col("train") != pl.col("test")
    r, utilities = pl.col("r") / 0.9, pl.when(apart).then(pl.col("utility_r") / 0.81).otherwise(1.0)
    words = pl.col("r") * 0.6
    columns = {"within_group": pl.col("r") - 0.1, "r_corrected": r, "utility_r_corrected": utilities}
    columns |= {"difference_corrected": r - utilities, "encoder_r": words, "over_encoder": pl.col("r") - words}
    more = transfer.with_columns(**columns, n_groups=pl.lit(8))
    ends = {"encoder_r": "encoder", **{name: name for name in columns if name != "encoder_r" and "within" not in name}}
    return more.with_columns(
        (pl.col(name) + sign * 0.1).alias(f"{end}_{side}")
        for name, end in ends.items()
        for side, sign in (("low", -1), ("high", 1))
    )


def _summaries(transfer, personas, layers, rng) -> dict[str, pl.DataFrame]:
    r = {(row["train"], row["test"], row["layer"]): row["r"] for row in transfer.iter_rows(named=True)}
    gaps, means, cosines = [], [], []
    for layer in layers:
        for one, other in combinations(personas, 2):
            there, back = r[one, other, layer], r[other, one, layer]
            gap = there - back
            gaps.append((one, other, layer, "eot", there, back, gap, gap - 0.08, gap + 0.08, 240, 8))
        for one in personas:
            others = [other for other in personas if other != one]
            out, into = (
                float(np.mean([r[(one, other, layer) if away else (other, one, layer)] for other in others]))
                for away in (True, False)
            )
            gap = out - into
            numbers = [
                number for value, half in ((out, 0.08), (into, 0.07), (gap, 0.05)) for number in _ends(value, half)
            ]
            means.append((one, layer, "eot", *numbers, len(others), 240, 8))
        cosines += [(*pair, layer, float(rng.normal(0.2, 0.15)), 0.18) for pair in permutations(personas, 2)]
    columns = "persona layer position outbound outbound_low outbound_high inbound inbound_low inbound_high gap gap_low"
    return {
        "transfer_asymmetry": _table(
            gaps,
            "first second layer position r_first_to_second r_second_to_first gap gap_low gap_high n n_groups",
        ),
        "transfer_means": _table(means, f"{columns} gap_high n_others n n_groups"),
        "weight_cosines": _table(cosines, "direction other layer cosine null_high"),
    }


def _whose(personas, layers, rng) -> dict[str, pl.DataFrame]:
    bias, matched, diverse = [], [], []
    for layer in layers:
        for train, test in permutations(personas, 2):
            others = [name for name in personas if name not in (train, test)]
            rows = [("raw", test, 0.4), ("raw", train, 0.3), ("partial", train, 0.08)]
            rows += [("double partial", third, 0.01) for third in others]
            for kind, third, height in rows:
                value = float(rng.normal(height, 0.05))
                bias.append((train, test, third, kind, layer, "eot", *_ends(value, 0.1), 240, 8))
        for one, other in combinations(personas, 2):
            for direction, r, offset in (
                ("preference", 0.35, 0.0),
                ("preference of first", 0.3, 0.2),
                ("preference of second", 0.3, -0.2),
                ("identity", 0.02, 5.0),
            ):
                ends = (*_ends(float(rng.normal(r, 0.05)), 0.12), *_ends(float(rng.normal(offset, 0.1)), 0.3))
                matched.append((one, other, direction, layer, "eot", *ends, 40, 240, 8))
        for test in personas:
            for k in range(1, len(personas)):
                r, shared = 0.2 + 0.04 * k + float(rng.normal(0, 0.02)), 0.3 + 0.03 * k
                gap = _ends(r - shared, 0.1)
                numbers = (*_ends(r, 0.1), 0.03, shared, *gap, *_ends(0.5, 0.1), 4, 180, 240, 8)
                diverse.append((test, k, layer, "eot", *numbers))
    return {
        "probe_bias": _table(bias, "train test third kind layer position r low high n n_groups"),
        "matched_choices": _table(
            matched,
            "first second direction layer position r low high offset offset_low offset_high n_matched n n_groups",
        ),
        "diversity": _table(
            diverse,
            "test n_personas layer position r low high spread utility_r difference difference_low difference_high "
            "own_r own_low own_high n_subsets n_rows n n_groups",
        ),
        "persona_tracking": _table(
            [
                ("utility", personas[0], test, "eot", layer, step, *_ends(0.5 / (1 + step), 0.1), 0.3, *_ends(0.1, 0.1))
                for test in personas[1:]
                for layer in layers
                for step in range(3)
            ],
            "target train test position layer step r low high utility_r difference difference_low difference_high",
        ),
    }


def shift_tables(layers: list[int], rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Cells, correlations, targets and ranks: the probe goes with choices everywhere, the encoder on target only."""
    cells, found, targets, ranks = [], [], [], []
    for layer in layers:
        for design in DESIGNS:
            cells += _cells(design, layer, rng)
            for scorer in SCORERS:
                for name, height in (("all", 0.5), ("on_target", 0.7), ("off_target", 0.3)):
                    value = {"probe": height, "encoder": 0.72 if name == "on_target" else 0.05}.get(scorer, 0.0)
                    value += float(rng.normal(0, 0.06))
                    gap = _ends(value - 0.1, 0.2)
                    for statistic in ("pearson", "spearman", "sign_agreement"):
                        numbers = (*_ends(value, 0.15), 0.001, 0.02, 0.03, *gap, 1200, 48, 8, 40, layer)
                        found.append((design, scorer, name, statistic, *numbers))
            for measure in ("choice", *SCORERS):
                scale = 2.0 if measure == "choice" else 0.3
                for place, contrast in enumerate(CONTRASTS):
                    mean = _ends(
                        scale * (1.0, 0.9, -1.1, 0.1, 0.8, 1.2)[place] + float(rng.normal(0, 0.05)), 0.3 * scale
                    )
                    p = 0.004 if contrast == "directed" else None
                    targets.append((design, measure, contrast, *mean, mean[0] / scale, p, 240, 32, 8, 40, layer))
        for measure, share in (("choice", 0.9), ("probe", 0.6), ("encoder", 0.1)):
            ends = (
                round(50 * share),
                share,
                max(0.0, share - 0.2),
                min(1.0, share + 0.15),
                0.02,
                0.03,
                30 - 28 * share,
            )
            ranks.append(("biography", measure, *ends, 50, 10, 50, layer))
    return {
        "shift_cells": _table(
            cells,
            "design condition subject polarity matched task role sign scorer choice_shift score_shift layer",
        ),
        "shift_correlations": _table(
            found,
            "design scorer cells statistic value low high p null_mean p_within difference "
            "difference_low difference_high n n_conditions n_clusters n_tasks layer",
        ),
        "shift_levels": _table(
            [
                (design, scorer, cells, "pearson", *_ends(value, 0.1), *_ends(value - 0.4, 0.1), layer)
                for layer in layers
                for design in DESIGNS
                for scorer, value in (("probe", 0.6), ("encoder", 0.2), (KNOWN, 0.4))
                for cells in ("all", "on_target")
            ],
            "design scorer cells statistic value low high difference difference_low difference_high layer",
        ),
        "shift_targets": _table(
            targets,
            "design measure contrast mean low high standardised p n n_conditions n_clusters n_tasks layer",
        ),
        "shift_rank_summary": _table(
            ranks,
            "design measure first share low high chance null_first mean_rank n n_subjects n_tasks layer",
        ),
    }


def _cells(design, layer, rng) -> list[tuple]:
    rows = []
    for subject in range(6):
        for polarity, name in ((1, "love"), (-1, "hate"), (0, "mention")):
            for task in range(24):
                target = task // 4 == subject
                choice = 2.0 * polarity * target + float(rng.normal(0, 0.5))
                role = "target" if target else "opposed" if design == "opposing" and task % 7 == 0 else "off"
                sign = None if role == "opposed" else (polarity or 1) if target else 0
                words = 0.6 * polarity * target + float(rng.normal(0, 0.2))
                about = (design, f"{design}-{subject}-{name}", f"subject {subject}", polarity, f"{design}-{subject}")
                for scorer, score in (("probe", 0.5 * choice + float(rng.normal(0, 0.3))), ("encoder", words)):
                    rows.append((*about, f"task {task}", role, sign, scorer, choice, score, layer))
    return rows


def stimulus_tables(layers: list[int], rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Effects of labels and their differences; for the evil persona harm changes its sign."""
    effects, differences = [], []
    for scorer, at in (*(("probe", layer) for layer in layers), ("encoder", None)):
        for name, height in SETS.items():
            for turn in TURNS:
                values = {}
                for persona in READERS:
                    size = height * (0.3 if scorer == "encoder" else -0.5 if persona == "evil" else 1.0)
                    size *= 1.0 if at is None else 1 - np.exp(-at / 7)
                    value = values[persona] = float(size + rng.normal(0, 0.05))
                    place = (name, turn, "eot", at, scorer, persona)
                    chance = 0.2 + 0.05 * float(rng.random()) if scorer == "probe" else None
                    effects.append((*place, *_ends(value, 0.12), 0.01, 0.02, 46, True, chance, 20))
                for persona in READERS[1:]:
                    own, reference = values[persona], values[READERS[0]]
                    flips = own * reference < 0 and min(abs(own), abs(reference)) > 0.12
                    numbers = (own, reference, *_ends(own - reference, 0.14), flips, 0.01, 0.02, 46)
                    differences.append((name, turn, "eot", at, scorer, persona, READERS[0], *numbers))
    return {
        "stimulus_effects": _table(
            effects,
            "set turn position layer scorer persona d_paired low high p q n paired random_d95 n_random",
        ),
        "stimulus_differences": _table(
            differences,
            "set turn position layer scorer persona reference d_persona d_reference difference low high flips p q n",
        ),
    }


def _ends(value: float, half: float) -> tuple[float, float, float]:
    return value, value - half, value + half


def _table(rows: list[tuple], columns: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=columns.split(), orient="row", infer_schema_length=None)
