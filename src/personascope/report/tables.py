"""Which tables the page knows, which columns each must have, and which personas occur in them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import polars.selectors as cs

from personascope.errors import DataError, nearest
from personascope.report.tables_interview import COLUMNS as INTERVIEW
from personascope.report.tables_organism import COLUMNS as ORGANISM
from personascope.report.tables_responder import COLUMNS as RESPONDER
from personascope.report.tables_steering import COLUMNS as STEERING
from personascope.report.tables_tuning import COLUMNS as TUNING

_PROBE = (
    "layer metric value low high n shuffled shuffled_high p_value random_direction random_direction_high "
    "matched_direction matched_direction_high text_baseline encoder_baseline over_text over_text_low over_text_high "
    "within_group penalty"
)
_GAPS = "first second layer position r_first_to_second r_second_to_first gap gap_low gap_high n"
_MEANS = (
    "persona layer position outbound outbound_low outbound_high inbound inbound_low inbound_high gap gap_low gap_high "
    "n_others n"
)
_COLUMNS = {
    "hexaco_facets": "persona facet domain trait low high acquiescence n_items",
    "hexaco_domains": "persona domain trait low high",
    "hexaco_contrasts": "contrast facet difference low high p q difference_positive difference_negative n",
    "hexaco_shrunken": "contrast facet effect se weight shrunken low high mean mean_se tau n_left_out",
    "hexaco_equivalence": "contrast facet difference low high bound q equivalent",
    "hexaco_power": "contrast n sd smallest smallest_corrected n_facets",
    "hexaco_items": "persona item facet key text agreement order_bias label_mass",
    "hexaco_quality": "persona label_mass order_bias acquiescence key_consistency n",
    "hexaco_bias": "persona index value low high flag",
    "hexaco_adjusted": "contrast facet raw raw_low raw_high adjusted low high desirability_slope slope_low slope_high "
    "n n_left_out",
    "hexaco_specifications": "contrast domain phrasing order difference low high rank robust n share_significant "
    "n_specifications",
    "hexaco_components": "component share",
    "hexaco_icc": "profile kind coefficient icc low high n_facets n_variants n_left_out",
    "hexaco_d_study": "n_item n_phrasing g phi",
    "hexaco_variants": "variant kind profile r low high mean_difference n_facets label_mass",
    "hexaco_read_outs": "read_out persona r low high mean_difference difference_low difference_high n n_left_out "
    "n_answers value_share refusal_share unparsed_share",
    "hexaco_reasons": "persona facet statement order kind value wish reasoning",
    "hexaco_just_helpful": "statement",
    "hexaco_just_helpful_residuals": "facet x y residual low high",
    "hexaco_short_and_rest": "contrast facet short_difference rest_difference gap gap_se z",
    "hexaco_between_models": "profile subject model_x model_y r low high n",
    "utilities": "persona task topic text utility se",
    "preference_quality": "persona order_bias order_bias_low order_bias_high flip_share label_mass sd_log_odds "
    "split_half split_half_low split_half_high n_pairs",
    "utility_correlations": "persona_x persona_y r low high n",
    "preference_retest": "persona wording r low high n shared_pairs",
    "preference_accuracy": "persona accuracy low high chance n",
    "preference_circles": "persona cyclic low high expected excess excess_low excess_high n_triads chance",
    "preference_design": "persona round pairs rank_r outcome",
    "stated_ratings": "persona task rating order_bias label_mass",
    "rating_agreement": "persona r low high n",
    "written_outcomes": "persona what share low high count n n_pairs",
    "written_refusals": "persona task slot asked refused n_pairs rate low high",
    "written_judging": "persona agreement low high kappa n n_settled n_undecided",
    "written_consistency": "persona agreement chance n_ordered flip_rate flip_low flip_high n_pairs",
    "written_agreement": "persona agreement_corrected agreement_corrected_low agreement_corrected_high "
    "agreement_corrected_chance agreement_corrected_n agreement_same_order agreement_same_order_low "
    "agreement_same_order_high agreement_same_order_chance agreement_same_order_n r r_low r_high n_pairs",
    "written_calibration": "persona k rank_r_apart n_subsets",
    "persona_profiles": "persona topic z low high n",
    "persona_components": "component share null_mean null_95 p",
    "persona_map": "persona component_1 component_2",
    "persona_correlations": "persona other r low high n r_corrected above_one",
    "persona_clusters": "persona cluster silhouette",
    "persona_cluster_counts": "n_clusters silhouette stability stability_low stability_high n_resamples",
    "persona_representatives": "cluster persona mean_distance n",
    "persona_extremes": "persona end rank task topic utility z mean_z difference",
    "probes": f"target persona position {_PROBE}",
    "leave_one_group": "target layer what group metric value low high n n_groups shuffled_high text_baseline "
    "encoder_baseline ceiling",
    "confounds": f"target persona position {_PROBE} variance_left",
    "removals": "target layer step removed draw r low high shuffled_high n",
    "layer_agreement": "layer other cosine r n",
    "residual_norms": "store layer position mean sd n",
    "facet_probes": f"target persona position {_PROBE}",
    "facet_cosines": "direction other layer cosine null_high",
    "cross_model": f"model utilities_of persona position {_PROBE} utility_r utility_low utility_high",
    "transfer": "train test layer position r low high utility_r difference difference_low difference_high n",
    "direction_cosines": "direction other layer cosine null_high",
    "steering": "target read_out layer coefficient direction value low high n label_mass",
    **{f"{of}transfer_asymmetry": _GAPS for of in ("", "facet_")},
    **{f"{of}transfer_means": _MEANS for of in ("", "facet_")},
    **{f"{of}weight_cosines": "direction other layer cosine null_high" for of in ("", "facet_")},
    "facet_transfer": "train test layer position r low high utility_r difference difference_low difference_high n",
    "probe_bias": "train test third kind layer position r low high n",
    "matched_choices": "first second direction layer position r low high offset offset_low offset_high n_matched n",
    "diversity": "test n_personas layer position r low high utility_r difference_low own_r n_subsets n_rows n",
    "persona_tracking": "train test position layer step r low utility_r difference_low",
    "shift_levels": "design scorer cells statistic value low high difference_low layer",
    "shift_cells": "design condition polarity task role sign scorer choice_shift score_shift layer",
    "shift_correlations": "design scorer cells statistic value low high p p_within difference difference_low "
    "difference_high n layer",
    "shift_targets": "design measure contrast mean low high standardised p n layer",
    "shift_rank_summary": "measure first share low high chance null_first mean_rank n n_subjects n_tasks layer",
    "stimulus_effects": "set turn persona layer scorer d_paired low high q n random_d95",
    "stimulus_differences": "set turn persona reference layer scorer d_persona d_reference difference low high flips "
    "q n",
    **STEERING,
    **TUNING,
    **ORGANISM,
    **INTERVIEW,
    **RESPONDER,
}
REQUIRED: dict[str, tuple[str, ...]] = {name: tuple(columns.split()) for name, columns in _COLUMNS.items()}
_TEXTS = (
    "domain facet flag given group item members model order outcome ratio_refused reading reasoning refused statement "
    "steered stopped_by text tier untested why why_none why_null wish"
)
_FLAGS = "above_one equivalent flips is_matched is_taught outside_usable past_peak reads robust"
_TYPES = {**dict.fromkeys(_TEXTS.split(), pl.String), **dict.fromkeys(_FLAGS.split(), pl.Boolean)}
"""Of columns that may hold nulls alone, and then have no type; all others are numbers."""
_NO_PERSONAS = ("facet_cosines", "layer_agreement", "matched_choices", "shift_targets", *TUNING)
"""Tables whose `direction`, `other` or `contrast` names facets, layers, kinds of cells or runs."""
_PUSHED = ("steering", "planted_steering", *STEERING)
"""Tables whose `direction` names what is pushed."""
_PERSONA_COLUMNS = ("persona", "persona_x", "train", "test", "direction", "other")


def present(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The tables the page can show: known, with rows, with NaN as null, and with a type for columns of nulls alone.

    Raises:
        DataError: a known table lacks a column.
    """
    shown = {}
    for name, columns in REQUIRED.items():
        if name not in tables or tables[name].is_empty():
            continue
        frame = tables[name]
        for column in columns:
            if column not in frame.columns:
                raise DataError(
                    f"Table {name!r} has no column {column!r}; it has {frame.columns}.{nearest(column, frame.columns)}",
                    f"Its figures need {', '.join(columns)}.",
                    "Add or rename the column, or leave the table out.",
                )
        untyped = [column for column, dtype in frame.schema.items() if dtype == pl.Null]
        typed = [pl.col(column).cast(_TYPES.get(column, pl.Float64)) for column in untyped]
        shown[name] = frame.with_columns(cs.float().fill_nan(None)).with_columns(typed)
    return shown


def personas(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Every persona named in any table, in order of first appearance."""
    names: dict[str, None] = {}
    for table, frame in tables.items():
        if table in _NO_PERSONAS:
            continue
        for column in _PERSONA_COLUMNS:
            if column in frame.columns and not (column == "direction" and table in _PUSHED):
                names |= dict.fromkeys(frame[column].drop_nulls().unique(maintain_order=True))
        contrasts = frame["contrast"].unique(maintain_order=True).to_list() if "contrast" in frame.columns else []
        if {"kind", "profile"} <= set(frame.columns):
            kinds = frame.select("kind", "profile").unique(maintain_order=True)
            names |= dict.fromkeys(kinds.filter(pl.col("kind") == "persona")["profile"])
            contrasts += kinds.filter(pl.col("kind") == "contrast")["profile"].to_list()
        names |= {part: None for contrast in contrasts for part in contrast.split(" - ")}
    return list(names)
