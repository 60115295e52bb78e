"""results.json of the interview study: how far each planner has come after some questions."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from personascope.experiments.results import Record, records


def interview_results(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[Record]]:
    """Sections identification and prediction."""
    found = tables["interview_identification"]
    keys = ["planner", "questions", "bits_per_question", "rank", "top_1"]
    return {
        "identification": records(found, "log2 posterior of the true person", "log2_p", "n", keys),
        "prediction": prediction_records(tables["interview_prediction"]),
    }


def prediction_records(frame: pl.DataFrame) -> list[Record]:
    """Errors on held-out items by planner, predictor and number of questions."""
    keys = ["planner", "predictor", "questions", "bits"]
    return records(frame, "error on held-out items in item sd", "rmse", "n", keys)
