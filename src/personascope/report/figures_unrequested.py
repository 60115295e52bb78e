"""What narrow trainings moved that nobody asked for, beside what they were taught, and the way to each persona."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, dot_trace, panel_columns
from personascope.report.figures_facet_steering import in_order
from personascope.report.findings_tuning import order, run_label
from personascope.report.outline import Tables
from personascope.report.theme import CONTROL, POOLED, SERIES, PersonaStyle
from personascope.report.wording import estimate, label, number, probability

_ROW, _LEFT = 24, 190
_TAUGHT, _OTHER = PersonaStyle(SERIES[5], "diamond"), PersonaStyle(POOLED, "circle")
_BEYOND, _WITHIN = PersonaStyle(POOLED, "circle"), PersonaStyle(CONTROL, "circle-open")


def facets_moved(tables: Tables) -> go.Figure | None:
    """Movement of every facet after each narrow run.

    Args:
        tables: "tuning_unrequested" (run, of, unit, taught, moved, low, high, p, q, n). None without facets.
    """
    return _units(tables["tuning_unrequested"].filter(pl.col("of") == "facets"), "change of the trait", by_domain=True)


def topics_moved(tables: Tables) -> go.Figure | None:
    """Movement of the utilities of every topic after each narrow run; None where no choices were asked."""
    own = tables["tuning_unrequested"].filter(pl.col("of") == "utilities")
    return _units(own, "change of utility (logits)", by_domain=False)


def _units(frame: pl.DataFrame, unit: str, *, by_domain: bool) -> go.Figure | None:
    if frame.is_empty():
        return None
    runs = order(frame)
    names = in_order(frame["unit"]) if by_domain else list(frame["unit"].unique(maintain_order=True))
    panels = [Panel("moved", run_label(run), unit) for run in runs]
    figure = panel_columns(panels, [label(name) for name in names], _ROW * max(4, len(names)), legend=True, banded=True)
    for place, run in enumerate(runs, start=1):
        for taught, style, name in ((False, _OTHER, "not taught"), (True, _TAUGHT, "taught")):
            own = frame.filter(pl.col("run") == run, pl.col("taught") == taught)
            hover = [_hover(row, run) for row in own.iter_rows(named=True)]
            ends = (
                column(own, "moved"),
                [names.index(one) for one in own["unit"]],
                column(own, "low"),
                column(own, "high"),
            )
            known: dict[str, Any] = {"name": name, "legendgroup": name, "showlegend": place == 1}
            figure.add_trace(dot_trace(*ends, style=style, hover=hover, **known), row=1, col=place)
    return figure.update_layout(margin={"l": _LEFT})


def way_to_personas(tables: Tables) -> go.Figure:
    """How much of the way to each persona the shift of the residual stream goes, by layer; filled where beyond random.

    Args:
        tables: "tuning_projection" (run, persona, way, low, high, cosine, null_high, beyond, layer, n).
    """
    frame = tables["tuning_projection"]
    runs = order(frame)
    cells = list(frame.select("persona", "layer").unique(maintain_order=True).sort("persona", "layer").iter_rows())
    names = [f"{label(persona)}, layer {layer}" for persona, layer in cells]
    panels = [Panel("way", run_label(run), "share of the way to the persona") for run in runs]
    figure = panel_columns(panels, names, _ROW * max(4, len(names)), legend=True, banded=True)
    for place, run in enumerate(runs, start=1):
        kinds = ((True, _BEYOND, "beyond random directions"), (False, _WITHIN, "not beyond them"))
        for beyond, style, name in kinds:
            own = frame.filter(pl.col("run") == run, pl.col("beyond") == beyond)
            at = [cells.index((row["persona"], row["layer"])) for row in own.iter_rows(named=True)]
            hover = [
                f"<b>{label(row['persona'])}</b>, layer {row['layer']}, {run_label(run)}<br>"
                f"{estimate(row['way'], row['low'], row['high'])} of the way<br>cosine {number(row['cosine'])}, random "
                f"below {number(row['null_high'])}<br>n = {row['n']} items"
                for row in own.iter_rows(named=True)
            ]
            ends = (column(own, "way"), at, column(own, "low"), column(own, "high"))
            known: dict[str, Any] = {"name": name, "legendgroup": name, "showlegend": place == 1}
            figure.add_trace(dot_trace(*ends, style=style, hover=hover, **known), row=1, col=place)
    return figure.update_layout(margin={"l": _LEFT})


def _hover(row: dict[str, Any], run: str) -> str:
    p = "" if row["q"] is None else f"<br>{probability('q', row['q'])}"
    name = f"<b>{label(row['unit'])}</b>, {'taught' if row['taught'] else 'not taught'}, {run_label(run)}"
    return f"{name}<br>{estimate(row['moved'], row['low'], row['high'])}{p}"
