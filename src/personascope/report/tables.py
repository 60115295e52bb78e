"""Which tables the page knows, which columns each must have, and which personas occur in them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import polars.selectors as cs

from personascope.errors import DataError, nearest

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
    "probes": "target persona position layer metric value low high n shuffled shuffled_high p_value random_direction "
    "random_direction_high text_baseline within_group penalty",
    "transfer": "train test layer position r low high utility_r difference difference_low difference_high n",
    "direction_cosines": "direction other layer cosine null_high",
    "steering": "target read_out layer coefficient direction value low high n label_mass",
}
REQUIRED: dict[str, tuple[str, ...]] = {name: tuple(columns.split()) for name, columns in _COLUMNS.items()}
_TEXTS = "domain facet flag item model order reasoning statement text untested why wish"
_TYPES = {**dict.fromkeys(_TEXTS.split(), pl.String), "equivalent": pl.Boolean, "robust": pl.Boolean}
"""Of columns that may hold nulls alone, and then have no type; all others are numbers."""
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
        if table == "steering":  # its `direction` names pushes
            continue
        for column in _PERSONA_COLUMNS:
            if column in frame.columns:
                names |= dict.fromkeys(frame[column].drop_nulls().unique(maintain_order=True))
        contrasts = frame["contrast"].unique(maintain_order=True).to_list() if "contrast" in frame.columns else []
        if {"kind", "profile"} <= set(frame.columns):
            kinds = frame.select("kind", "profile").unique(maintain_order=True)
            names |= dict.fromkeys(kinds.filter(pl.col("kind") == "persona")["profile"])
            contrasts += kinds.filter(pl.col("kind") == "contrast")["profile"].to_list()
        names |= {part: None for contrast in contrasts for part in contrast.split(" - ")}
    return list(names)
