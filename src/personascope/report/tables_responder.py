"""Columns of the tables that the study of a reading model gives to the page."""

from __future__ import annotations

COLUMNS = {
    "responder_training": "epoch validation_loss best people answers",
    "responder_errors": "predictor items questions bits bits_low bits_high rmse n gain gain_low gain_high label_mass",
    "responder_calibration": "predictor questions p share low high n error",
    "responder_probes": "target state layer value low high n shuffled_high text_baseline encoder_baseline "
    "over_text_low",
    "responder_synthetic": "source people items mean sd correlation eigenvalues spread copies",
    "responder_novel": "item text kind gain low high entropy realised targets n n_written n_unfit n_copies n_requests",
    "responder_people": "reader people log2_p low high rank top_1 n",
}
