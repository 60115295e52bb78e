"""results.json of the study of a reading model: predictions, certainty, probes, pushes."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from personascope.experiments.results import Record, records
from personascope.experiments.results_interview import prediction_records

_KEYS = ["predictor", "items", "questions"]


def responder_results(tables: Mapping[str, pl.DataFrame]) -> dict[str, list[Record]]:
    """Sections training, prediction, over_marginals, calibration, and one for each other part of the study."""
    errors = tables["responder_errors"]
    marks = tables["responder_calibration"].group_by("predictor", "questions", maintain_order=True).first()
    found: dict[str, list[Record]] = {
        "training": [{"name": "epoch", **row} for row in tables["responder_training"].to_dicts()],
        "prediction": records(
            errors.select(*_KEYS, "bits", "rmse", "n", "label_mass", low="bits_low", high="bits_high"),
            "bits of surprise at an answer",
            "bits",
            "n",
            [*_KEYS, "rmse", "label_mass"],
        ),
        "over_marginals": records(
            errors.select(*_KEYS, "gain", "n", low="gain_low", high="gain_high"),
            "bits below the item marginals",
            "gain",
            "n",
            _KEYS,
        ),
        "calibration": [
            {"name": "calibration error", "value": row["error"], "predictor": row["predictor"], "n": row["n"]}
            for row in marks.to_dicts()
        ],
    }
    if "responder_probes" in tables:
        found["probes"] = [{"name": "probe of a reader", **row} for row in tables["responder_probes"].to_dicts()]
    if "responder_people" in tables:
        found["recognition"] = records(
            tables["responder_people"],
            "log2 posterior of the true person",
            "log2_p",
            "n",
            ["reader", "people", "rank", "top_1"],
        )
    if "responder_synthetic" in tables:
        found["synthetic"] = [{"name": "synthetic people", **row} for row in tables["responder_synthetic"].to_dicts()]
    if "responder_novel" in tables:
        found["novel"] = [
            {"name": "expected gain of a question", "value": row.pop("gain"), **row}
            for row in tables["responder_novel"].to_dicts()
        ]
    if "facet_selectivity_rows" in tables:
        found["selectivity"] = [
            {"name": "selectivity index", **row} for row in tables["facet_selectivity_index"].to_dicts()
        ]
        found["traits"] = [{"name": "trait steered", **row} for row in tables["facet_selectivity_rows"].to_dicts()]
    if "interview_prediction" in tables:
        found["interviews"] = prediction_records(tables["interview_prediction"])
    if "interview_rounds" in tables:
        keys = ["number", "kept", "synthetic_share"]
        found["rounds"] = records(tables["interview_rounds"], "bits by question of held-out people", "gain", "n", keys)
    return found
