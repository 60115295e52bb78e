"""Tables of the organism study with a planted truth that comes back in the organism and not in the base."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

CODED = {
    "planted_recovery": {"state", "what"},
    "planted_utilities": {"state"},
    "planted_opposition": {"state"},
    "planted_steering": {"kind"},
}
"""Columns that hold the package's own words, by table."""


def organism_tables(personas: Sequence[str], topics: Sequence[str]) -> dict[str, pl.DataFrame]:
    """All of them; the last topic is not taught."""
    rng = np.random.default_rng(5)
    levels = rng.normal(0, 1, (len(personas), len(topics)))
    utilities, recovery, opposition = [], [], []
    for state, share in (("base", 0.0), ("organism", 1.5)):
        for number, persona in enumerate(personas):
            for place, topic in enumerate(topics):
                taught = place < len(topics) - 1
                planted = float(levels[number, place]) if taught else 0.0
                for task in range(2):
                    row = {"state": state, "persona": persona, "task": f"{topic}_{task}", "topic": topic}
                    utilities.append(row | {"is_taught": taught, "planted": planted,
                                            "utility": share * planted + rng.normal(0, 0.2)})  # fmt: skip
            for what, r in (("utilities", 0.6 * share), ("traits", 0.3 * share)):
                row = {
                    "state": state,
                    "persona": persona,
                    "what": what,
                    "r": r,
                    "low": r - 0.2,
                    "high": min(1.0, r + 0.1),
                }
                recovery.append(row | {"slope": share, "n": 40, "spread": 0.5, "spread_untaught": 0.1})
        row = {"state": state, "persona": personas[0], "other": personas[1], "planted_r": -1.0, "r": -0.5 * share}
        opposition.append(row | {"low": -0.9, "high": 0.1, "n": 40})
    transfer = [
        {"train": one, "test": other, "layer": 13, "r": 0.6, "low": 0.4, "high": 0.8, "n": 40}
        for one in personas
        for other in personas
    ]
    steering = [
        {
            "persona": persona,
            "layer": 13,
            "direction": name,
            "kind": kind,
            "coefficient": c,
            "value": size * c,
            "low": size * c - 0.1,
            "high": size * c + 0.1,
            "n": 12,
        }
        for persona in personas
        for name, kind, size in (("probe", "probe", 10.0), ("random 1", "isotropic", 0.5))
        for c in (-0.2, 0.0, 0.2)
    ]
    cosines = [
        {"persona": name, "layer": 13, "cosine": 0.4 - 0.35 * n, "null_high": 0.08} for n, name in enumerate(personas)
    ]
    found = {"planted_utilities": utilities, "planted_recovery": recovery, "planted_opposition": opposition}
    found |= {"planted_transfer": transfer, "planted_steering": steering, "planted_cosines": cosines}
    return {name: pl.DataFrame(rows) for name, rows in found.items()}
