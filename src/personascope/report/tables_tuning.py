"""Columns of the tables that the study of the ideal self gives to the page."""

from __future__ import annotations

_ESTIMATE = "value low high naive_biased refused"
_GAP = "keys centred gap_closed low high refused naive_biased reading n_facets n_items"
_CARRIED = "gap_closed low high refused naive_biased ratio ratio_low ratio_high ratio_refused n_items"
_AFTER = ("label_mass", "acquiescence", "order_bias", "entropy")
COLUMNS = {
    "tuning_runs": "run target seed reasons held_out n_train n_validation n_taught best_epoch has_learned "
    "untrained_loss validation_loss",
    "tuning_history": "run epoch validation_loss best",
    "tuning_examples": "run example n_prompt n_taught prompt answer",
    "tuning_profiles": "run point facet trait low high n_items",
    "tuning_closure": "run facet gap moved moved_low moved_high q closed closed_low closed_high why_null n",
    "tuning_gap": f"run {_GAP}",
    "tuning_beyond": f"run other {_GAP}",
    "tuning_drift_facets": "run facet difference low high bound equivalent n",
    "tuning_drift": "run drift drift_low drift_high bound n_equivalent distance_ratio distance_ratio_low "
    "distance_ratio_high distance_ratio_naive_biased distance_ratio_refused n_facets n_items",
    "tuning_specificity": f"run statistic toward given {_ESTIMATE} n_facets n_items",
    "tuning_shape": f"run statistic {_ESTIMATE} ceiling n_facets n_items",
    "tuning_likeness": "run other r low high n",
    "tuning_transfer": f"form {_CARRIED}",
    "tuning_held_out": f"run form {_CARRIED}",
    "tuning_side_effects": "run kl perplexity_ratio "
    f"{' '.join(f'{name}_before {name}_after' for name in _AFTER)} n_tokens",
    "tuning_shift": "run other kind layer cosine null_high length halves n",
    "tuning_subspace": "run layer rank share kind random_mean random_high p",
    "tuning_compared": "kind way strength is_matched why_none target response gap_closed low high refused slope "
    "slope_positive slope_negative reading like_tuned drift drift_low drift_high kl perplexity_ratio label_mass "
    "n_items",
    "tuning_unrequested": "run of unit taught moved low high q",
    "tuning_unrequested_totals": "run of part mean_absolute floor p n_units",
    "tuning_selected": "run of persona low high p q",
    "tuning_projection": "run persona way low high cosine null_high beyond layer n",
    "tuning_responses": "way coefficient response is_match past_peak",
    "tuning_compared_facets": "kind way facet moved",
}
