"""Tables of the interview study, in which informative questions find people and questions about items predict them."""

from __future__ import annotations

import numpy as np
import polars as pl

CODED = {
    "interview_identification": {"planner"},
    "interview_prediction": {"planner", "predictor"},
    "interview_questions": {"planner"},
}
"""Columns that hold the package's own words, by table."""
PLANNERS = {"random": 0.7, "fixed": 0.65, "information": 1.0, "held-out items": 0.8, "hindsight": 3.0}
"""Bits that a question brings."""


def interview_tables() -> dict[str, pl.DataFrame]:
    """All of them."""
    found, predicted, asked = [], [], []
    for planner, bits in PLANNERS.items():
        for n in (0, 5, 10, 20):
            log2_p = min(-10.0 + bits * n, -0.01)
            found.append(
                {"planner": planner, "questions": n, "log2_p": log2_p, "low": log2_p - 0.2, "high": log2_p + 0.2,
                 "bits_per_question": bits if n else None, "rank": float(max(1.0, 2**-log2_p / 2)),
                 "top_1": float(2**log2_p), "top_1_low": 0.0, "top_1_high": 1.0, "n": 300}
            )  # fmt: skip
            if planner == "hindsight":
                continue
            for predictor in ("twins", "gaussian"):
                rmse = 1.0 - 0.1 * (planner == "held-out items") * n / 20 - 0.05 * n / 20
                ends = {"bits_low": 1.9 * rmse, "bits_high": 2.1 * rmse, "low": rmse - 0.01, "high": rmse + 0.01}
                row = {"planner": planner, "predictor": predictor, "questions": n, "bits": 2 * rmse, "rmse": rmse}
                predicted.append(row | ends | {"n": 300})
        for place in range(1, 21):
            n_items = 1 if planner == "fixed" else min(place, 9)
            share = float(np.clip(1 / n_items, 0, 1))
            asked.append({"planner": planner, "question": place, "n_items": n_items, "share": share, "n": 300})
    return {
        "interview_identification": pl.DataFrame(found, infer_schema_length=None),
        "interview_prediction": pl.DataFrame(predicted),
        "interview_questions": pl.DataFrame(asked),
        "interview_rounds": pl.DataFrame(
            [
                {
                    "number": n,
                    "gain": gain,
                    "low": gain - 0.01,
                    "high": gain + 0.01,
                    "n": 16,
                    "kept": kept,
                    "synthetic_share": 0.0,
                }
                for n, gain, kept in ((0, 0.05, 0), (1, 0.07, 40), (2, 0.06, 40))
            ]
        ),
    }
