"""Which of the directions that carry one persona's preference follow the preferences of others.

The probe of step k is retrained after k directions were removed (see `removal`). Applied to another persona's
activations it either still follows that persona's utilities, or what it read was the first persona's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Shaped

from personascope.errors import DataError
from personascope.probes.bootstrap import N_RESAMPLES, draw_counts, percentile_interval, resampled_correlations
from personascope.probes.evaluate import column_correlations
from personascope.probes.removal import Removal
from personascope.shapes import RowValues

_SCHEMA = {
    **dict.fromkeys(("target", "train", "test", "position"), pl.String),
    **{"layer": pl.Int64, "step": pl.Int64},
    **dict.fromkeys(("r", "low", "high", "utility_r", "difference", "difference_low", "difference_high"), pl.Float64),
    **{"n": pl.Int64, "n_groups": pl.Int64},
}


def persona_tracking(
    removal: Removal,
    utilities: Mapping[str, RowValues],
    groups: Shaped[np.ndarray, " row"],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """Correlation of the probe of each step with every other persona's utilities, on that persona's activations.

    Args:
        removal: of `remove_directions` with `others`.
        utilities: (row,) of the persona that was trained on and of each of the others, by name.
        groups: group of each row; the 95 % percentile bootstrap resamples whole groups.
        n_resamples: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One row per other persona and step: target, train, test, position, layer, step, r, low, high, utility_r (of the
        two personas' utilities: what a probe reaches that only repeats its own persona), difference (r - utility_r)
        with its interval from the same resamples, n, n_groups.

    Raises:
        DataError: no other personas in the removal, or a persona without utilities.
    """
    lacking = sorted({removal.persona, *removal.elsewhere} - set(utilities))
    if lacking or not removal.elsewhere:
        raise DataError(
            f"Utilities of {sorted(utilities)}, predictions for {sorted(removal.elsewhere)}.",
            f"There are none of {lacking[0]!r}." if lacking else "The probe was applied to no other persona.",
            "Pass `others` to remove_directions, and the utilities of all of them.",
        )
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = draw_counts(int(codes.max()) + 1, n_resamples, seed)
    own = np.asarray(utilities[removal.persona], dtype=np.float64)
    rows: list[dict[str, Any]] = []
    for other, predictions in removal.elsewhere.items():
        steps = len(predictions)
        x = np.concatenate([predictions, own[None]]).T
        y = np.repeat(np.asarray(utilities[other], dtype=np.float64)[:, None], steps + 1, axis=1)
        r, resampled = column_correlations(x, y), resampled_correlations(x, y, codes, counts)
        low, high = percentile_interval(resampled)
        less, more = percentile_interval(resampled - resampled[:, -1:])
        rows += [
            {
                **{"target": removal.target, "train": removal.persona, "test": other},
                **{"position": removal.position, "layer": removal.layer, "step": step},
                **{"r": r[step], "low": low[step], "high": high[step], "utility_r": r[-1]},
                **{"difference": r[step] - r[-1], "difference_low": less[step], "difference_high": more[step]},
                **{"n": removal.n, "n_groups": removal.n_groups},
            }
            for step in range(steps)
        ]
    return pl.DataFrame(rows, schema=_SCHEMA)
