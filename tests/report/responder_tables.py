"""Tables of the study of a reading model, which training makes better than the marginals on known items."""

from __future__ import annotations

import polars as pl

CODED = {
    "responder_errors": {"predictor", "items"},
    "responder_calibration": {"predictor"},
    "responder_probes": {"target", "state"},
    "responder_people": {"reader"},
    "responder_synthetic": {"source"},
    "responder_novel": {"kind"},
}
"""Columns that hold the package's own words, by table."""
MARGINALS, MODEL = "item marginals", "language model, "
KINDS = {"learned from others": 0.1, "new": -0.02}
"""Bits that the trained model gains on the marginals."""


def responder_tables() -> dict[str, pl.DataFrame]:
    """All of them."""
    errors, bins, probes = [], [], []
    for kind, most in KINDS.items():
        for predictor, gained in ((MARGINALS, 0.0), (f"{MODEL}untrained", -0.4), (f"{MODEL}trained", most)):
            mass = None if predictor == MARGINALS else 0.9
            for n in (0, 5, 20):
                gain = gained * n / 20
                errors.append(
                    {"predictor": predictor, "items": kind, "questions": n, "bits": 2.1 - gain,
                     "bits_low": 2.05 - gain, "bits_high": 2.15 - gain, "rmse": 1.0 - gain, "low": 0.95 - gain,
                     "high": 1.05 - gain, "n": 40, "gain": gain, "gain_low": gain - 0.03 * bool(gained),
                     "gain_high": gain + 0.03 * bool(gained), "label_mass": mass}
                )  # fmt: skip
    for predictor, off in ((MARGINALS, 0.01), (f"{MODEL}trained", 0.05)):
        for number in range(4):
            p = 0.1 + 0.15 * number
            row = {"bin": number + 1, "p": p, "share": p + off, "low": p + off - 0.02, "high": p + off + 0.02}
            bins.append({"predictor": predictor, "questions": 20, **row, "n": 900, "error": off})
    for state, r in (("untrained", 0.1), ("trained", 0.5)):
        for target, guess in (("Openness", 0.45), ("who it is, in bits", None)):
            for layer in (8, 16, 24):
                value = r - abs(layer - 16) / 80
                probes.append(
                    {"target": target, "state": state, "layer": layer, "value": value, "low": value - 0.1,
                     "high": value + 0.1, "n": 250, "shuffled_high": 0.15, "text_baseline": 0.4,
                     "encoder_baseline": guess, "over_text_low": value - 0.45}
                )  # fmt: skip
    people = [
        {"reader": reader, "people": 32, "log2_p": bits, "low": bits - 0.3, "high": bits + 0.3, "rank": rank,
         "top_1": first, "top_1_low": first - 0.04, "top_1_high": first + 0.1, "n": 32}
        for reader, bits, rank, first in (
            ("language model, untrained", -4.8, 14.0, 0.06), ("language model, trained", -2.5, 3.0, 0.4),
            ("the answers alone", -3.1, 4.0, 0.3), ("people shuffled", -5.1, 16.0, 0.04),
            ("noisy twins", -0.1, 1.0, 0.9),
        )
    ]  # fmt: skip
    made = [
        {"source": source, "mean": off, "sd": off / 2, "correlation": off / 3, "eigenvalues": off, "spread": wide,
         "copies": 0.02, **{f"{name}_{end}": ends for name in ("mean", "sd", "correlation", "spread", "copies")
                            for end, ends in (("low", low), ("high", high))}}
        for source, off, wide, low, high in (
            ("as many people", 0.21, 1.0, 0.15, 1.2), ("language model, trained", 0.4, 0.5, None, None),
            ("graded response", 0.2, 0.9, None, None), ("item marginals", 0.22, 0.4, None, None),
        )
    ]  # fmt: skip
    asked = [
        {"item": item, "text": text, "kind": kind, "gain": gain, "low": gain - 0.02, "high": gain + 0.03,
         "entropy": 2.0, "realised": came, "realised_low": came and came - 0.1, "realised_high": came and came + 0.1}
        for item, text, kind, gain, came in (
            ("new-1", "I enjoy fixing old clocks.", "written", 0.06, None),
            ("new-2", "I keep letters from friends.", "written", 0.04, None),
            ("patience-3", "I stay calm when I am kept waiting.", "of the bank", 0.05, 0.12),
            ("prudence-1", "I act before I think.", "of the bank", 0.07, -0.02),
        )
    ]  # fmt: skip
    history = {"epoch": [0, 1, 2], "step": [0, 100, 200], "train_loss": [None, 1.5, 1.4]}
    history |= {"validation_loss": [2.5, 1.5, 1.45], "best": [False, False, True]}
    return {
        "responder_training": pl.DataFrame(history).with_columns(people=pl.lit(200), answers=pl.lit(1600)),
        "responder_errors": pl.DataFrame(errors, infer_schema_length=None),
        "responder_calibration": pl.DataFrame(bins),
        "responder_probes": pl.DataFrame(probes, infer_schema_length=None),
        "responder_people": pl.DataFrame(people),
        "responder_synthetic": pl.DataFrame(made).with_columns(people=pl.lit(24), items=pl.lit(8)),
        "responder_novel": pl.DataFrame(asked, infer_schema_length=None).with_columns(
            targets=pl.lit(4),
            n=pl.lit(8),
            n_written=pl.lit(21),
            n_unfit=pl.lit(2),
            n_copies=pl.lit(17),
            n_requests=pl.lit(8),
        ),
    }
