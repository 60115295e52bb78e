"""Columns of the tables that the organism study gives to the page."""

from __future__ import annotations

COLUMNS = {
    "planted_recovery": "state persona what r low high slope n",
    "planted_utilities": "state persona topic is_taught planted utility",
    "planted_opposition": "state persona other planted_r r low high n",
    "planted_cosines": "persona layer cosine null_high",
    "planted_transfer": "train test layer r low high n",
    "planted_steering": "persona layer direction kind coefficient value low high n",
}
