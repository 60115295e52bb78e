"""Columns of the tables that the interview study gives to the page."""

from __future__ import annotations

COLUMNS = {
    "interview_identification": "planner questions log2_p low high bits_per_question rank top_1 top_1_low top_1_high n",
    "interview_prediction": "planner predictor questions bits bits_low bits_high rmse low high n",
    "interview_rounds": "number gain low high n kept synthetic_share",
    "interview_questions": "planner question n_items share n",
}
