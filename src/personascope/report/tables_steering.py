"""Columns of the tables that the steering studies give to the page."""

from __future__ import annotations

_PUSH = "layer direction coefficient"
_READ = "value low high n label_mass"
COLUMNS = {
    "steering_curves": f"persona target pair_type read_out {_PUSH} {_READ} past_peak outside_usable",
    "steering_effects": f"persona target pair_type read_out effect {_PUSH} {_READ}",
    "steering_dose": "persona target pair_type read_out layer direction step slope slope_low slope_high linearity "
    "saturation peak_plus turns_plus peak_minus turns_minus monotone_low monotone_high usable_low usable_high "
    "slope_outside_usable n_random p",
    "steering_position": f"persona read_out {_PUSH} {_READ}",
    "steering_norms": "layer position mean sd n",
    "steering_guards": "layer kind coefficient guard median worst limit holds n",
    "steering_ranges": "layer kind usable stopped_at stopped_by",
    "steered_written": f"read_out {_PUSH} {_READ}",
    "steered_judge": "rubric value low high n n_answers by_habit reads",
    "span_judge": "rubric value low high n n_answers by_habit reads",
    "steered_open": f"persona kind tier rubric {_PUSH} {_READ} reads",
    "steered_compliance": f"persona tier {_PUSH} outcome share low high n reads",
    "steered_spans": f"version steered {_PUSH} value low high flagged flagged_low flagged_high n",
    "steered_answers": "persona kind tier question direction coefficient text",
    "spliced": f"mode read_out {_PUSH} {_READ}",
    "cross_effects": f"persona target read_out effect {_PUSH} {_READ}",
    "cross_curves": f"persona target read_out {_PUSH} {_READ}",
    "cross_differences": f"persona {_PUSH} value low high n",
    "ablation": "layers rank subspace kind variance_ratio change label_mass agreement agreement_low agreement_high "
    "swap_flips swap_flips_low swap_flips_high baseline_swap_flips n",
    "patching": "where donor layers layer what rate low high n n_pairs",
    "facet_selectivity": "direction steered facet own coefficient effect low high positive positive_low positive_high "
    "negative negative_low negative_high acquiescence n_items",
    "facet_selectivity_rows": "direction steered own_effect keys_agree off_diagonal selectivity low high rank n_facets "
    "random_largest n_random p",
    "facet_selectivity_index": "index low high p diagonal off_diagonal random rank_one n_directions n_facets",
    "facet_curves": f"facet read_out {_PUSH} {_READ}",
}
