"""What is written under steering: choices that are begun, ratings, compliance, and steering at a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope.report.curve_grid import curve_grid
from personascope.report.findings_steering import PROBE, RANDOM, matches, of_kind, strength, with_unsteered
from personascope.report.rows import legend_above
from personascope.report.theme import MUTED, template
from personascope.report.wording import figure_text, label, number, pretty

OUTCOMES = {
    "full": "#009e73",
    "partial": "#a6d9c7",
    "refusal": "#0072b2",
    "incoherent": "#d55e00",
    "truncated": "#c3cad3",
}
_WRITTEN = {
    "refuses": "Refuses (share)",
    "cut off": "Cut off (share)",
    "no choice": "Chooses nothing (share)",
    "repetition": "Repeats itself (share of runs)",
    "words": "Words",
}


def written_curves(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """What is said and what is done when a task is begun in writing, beside what becomes of the text.

    Args:
        frame: columns read_out, layer, direction, coefficient, value, low, high, n, label_mass.
        start: layer shown at first.
    """
    parts = with_unsteered(frame, ("read_out",)).partition_by("read_out", maintain_order=True)
    panels = {_WRITTEN.get(part["read_out"][0], figure_text(part["read_out"][0])): part for part in parts}
    return curve_grid(panels, ("layer",), start, unit="", shared=False, per_row=3)


def rating_curves(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """Mean rating of free answers against the coefficient, one plot for each persona.

    Args:
        frame: columns persona, kind, tier, rubric, layer, direction, coefficient, value, low, high, n, label_mass.
        start: rubric, asked and layer shown at first.
    """
    own = with_unsteered(with_asked(frame), ("persona", "rubric", "asked"))
    panels = {label(part["persona"][0]): part for part in own.partition_by("persona", maintain_order=True)}
    return curve_grid(panels, ("rubric", "asked", "layer"), start, unit="mean (ratings run from 1 to 5)")


def compliance_bars(frame: pl.DataFrame, start: Mapping[str, Any]) -> go.Figure:
    """Shares of outcomes by tier of request and coefficient: probe direction above, mean of random ones below.

    Args:
        frame: columns persona, tier, layer, direction, coefficient, outcome, share, low, high, n.
        start: persona and layer shown at first.
    """
    frame = with_unsteered(frame, ("persona", "tier", "outcome")).sort("coefficient", maintain_order=True)
    tiers = frame["tier"].unique(maintain_order=True).to_list()
    grid = [strength(c) for c in frame["coefficient"].unique().sort()]
    kinds = [(kind, part) for kind in (PROBE, RANDOM) if (part := of_kind(frame, kind)).height]
    figure = make_subplots(
        rows=len(kinds),
        cols=len(tiers),
        shared_xaxes=True,
        shared_yaxes="all",
        horizontal_spacing=0.02,
        vertical_spacing=0.1,
        column_titles=[f"<b>{label(tier)}</b>" for tier in tiers],
    )
    outcomes = [*OUTCOMES, *(name for name in frame["outcome"].unique(maintain_order=True) if name not in OUTCOMES)]
    for row, (kind, part) in enumerate(kinds, start=1):
        cells = part.group_by("persona", "layer", "tier", "outcome", "coefficient", maintain_order=True).agg(
            pl.col("share").mean(), pl.col("low").first(), pl.col("high").first(), pl.col("n").sum(), pl.len()
        )
        for (persona, layer, tier, outcome), own in cells.group_by(
            "persona", "layer", "tier", "outcome", maintain_order=True
        ):
            meta = {"persona": persona, "layer": layer}
            figure.add_trace(
                go.Bar(
                    x=[strength(c) for c in own["coefficient"]],
                    y=own["share"].to_list(),
                    name=label(str(outcome)),
                    legendgroup=str(outcome),
                    legendrank=1000 + outcomes.index(outcome),
                    showlegend=row == 1 and tier == tiers[0],
                    marker={"color": OUTCOMES.get(str(outcome), MUTED), "line": {"width": 0}},
                    customdata=[_share_hover(one, kind) for one in own.iter_rows(named=True)],
                    hovertemplate="%{customdata}<extra></extra>",
                    meta=meta,
                    visible=matches(meta, start),
                ),
                row=row,
                col=1 + tiers.index(tier),
            )
        title = "probe direction" if kind == PROBE else "random directions, mean"
        figure.update_yaxes(title_text=f"<b>{title}</b><br>share of answers", row=row, col=1)
    figure.update_layout(
        template=template(), height=170 + 200 * len(kinds), margin={"l": 92, "r": 24, "t": 92, "b": 62}
    )
    figure.update_layout(barmode="stack", bargap=0.12, showlegend=True)
    legend_above(figure)
    figure.update_annotations(font={"size": 13}, yshift=4)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=grid, showgrid=False, tickangle=0)
    figure.update_xaxes(title_text="coefficient", row=len(kinds))
    figure.update_yaxes(range=[0, 1.001], nticks=5)
    return figure


def span_curves(frame: pl.DataFrame, start: Mapping[str, Any], value: str = "value") -> go.Figure:
    """Disclosure against the coefficient for each text shown and each span that is steered.

    Args:
        frame: columns version, steered, layer, direction, coefficient, value, low, high, flagged, flagged_low,
            flagged_high, n.
        start: layer shown at first.
        value: "value" (mean disclosure) or "flagged" (share of answers that hint at a problem or more).
    """
    ends = {} if value == "value" else {"value": value, "low": f"{value}_low", "high": f"{value}_high"}
    own = with_unsteered(frame, ("version", "steered"))
    own = own.with_columns(pl.col(source).alias(name) for name, source in ends.items())
    panels = {
        span_title(part["version"][0], part["steered"][0]): part
        for part in own.partition_by("version", "steered", maintain_order=True)
    }
    unit, bounds = ("mean disclosure (1 to 5)", (0.9, 5.1)) if value == "value" else ("share of answers", (-0.04, 1.04))
    return curve_grid(panels, ("layer",), start, unit=unit, bounds=bounds, per_row=2)


def span_title(version: str, steered: str) -> str:
    """Which text is shown and where it is steered, escaped for a figure."""
    texts = {"critical": "Questionable text", "benign": "Harmless twin"}
    spans = {"critical": "steered at the words that differ", "neutral": "steered at a neutral span"}
    return f"{texts.get(version, label(version))}, {spans.get(steered, label(steered))}"


def with_asked(frame: pl.DataFrame) -> pl.DataFrame:
    """With `asked`: what was asked for, of kind and tier, in words."""
    rows = frame.select("kind", "tier").rows()
    words = [pretty(kind or "") + (f", {tier.replace('_', ' ')}" if tier else "") for kind, tier in rows]
    return frame.with_columns(asked=pl.Series(words, dtype=pl.String))


def _share_hover(row: dict[str, Any], kind: str) -> str:
    ends = "" if row["low"] is None or row["high"] is None else f" [{number(row['low'])}, {number(row['high'])}]"
    about = f"{ends}, n = {row['n']}" if kind == PROBE else f", mean of {row['len']} random directions"
    share = number(row["share"])
    return f"<b>{label(row['outcome'])}</b>: {share}{about}<br>{label(row['tier'])}, coefficient {row['coefficient']:g}"
