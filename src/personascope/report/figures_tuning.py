"""What was taught and how far it moved the model: losses, facets between self and ideal, gap closed run by run."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from personascope.instruments.facets import DOMAIN_OF
from personascope.report.dots import Panel, column, dot_trace
from personascope.report.estimate_marks import Mark, estimate_panels, run_styles
from personascope.report.figures_facet_steering import in_order
from personascope.report.findings_tuning import biased, gaps, hover_told, order, run_label, targets
from personascope.report.outline import Tables
from personascope.report.rows import FACET_LEFT, FacetRows, dress_facet_axis, facet_rows
from personascope.report.theme import PersonaStyle, new_figure, persona_styles
from personascope.report.wording import estimate, label

_KINDS = (
    ("both", False, "Whole gap"),
    ("both", True, "Profile alone"),
    ("positive", False, "+ items"),
    ("negative", False, "− items"),
)
_SHARE = "share of the gap"
FACET_ROW = 25
_ABOVE, _BELOW = -0.14, 0.2
"""Self above, ideal below the middle of a facet's row."""


def loss_curves(tables: Tables) -> go.Figure:
    """Validation loss by epoch, epoch 0 being the untrained model; the epoch that was kept is ringed.

    Args:
        tables: "tuning_history" (run, epoch, validation_loss, best) and, where it is there, "tuning_runs".
    """
    frame = tables["tuning_history"]
    runs = order(frame)
    styles = run_styles(runs, targets(tables))
    figure = new_figure(max(300, 90 + 26 * len(runs)), margin={"l": 76, "r": 250, "t": 20, "b": 58})
    for place, run in enumerate(runs):
        own, style = frame.filter(pl.col("run") == run).sort("epoch"), styles[run]
        kept = [bool(best) for best in own["best"]]
        rings = ["#1f2933" if best else "white" for best in kept]
        figure.add_scatter(
            x=own["epoch"].to_list(),
            y=column(own, "validation_loss"),
            mode="lines+markers",
            name=run_label(run),
            line={"color": style.colour, "width": 2.6 if place == 0 else 1.4},
            marker={
                "color": style.colour,
                "symbol": style.symbol,
                "size": [11 if best else 8 for best in kept],
                "line": {"color": rings, "width": [1.8 if best else 0.8 for best in kept]},
            },
            customdata=[", kept" if best else "" for best in kept],
            hovertemplate=f"<b>{run_label(run)}</b>, epoch %{{x}}%{{customdata}}: %{{y:.3f}}<extra></extra>",
        )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"}, showlegend=True)
    figure.update_xaxes(title_text="epoch (0: untrained)", zeroline=False, dtick=1)
    figure.update_yaxes(title_text="loss on validation items (nats a token)", zeroline=False, rangemode="normal")
    return figure


def facet_places(facets: pl.Series) -> FacetRows:
    """Facets by HEXACO domain."""
    return facet_rows(in_order(facets), {facet: DOMAIN_OF.get(facet) for facet in facets.unique()})


def toward_the_ideal(tables: Tables) -> go.Figure:
    """Every facet of the self before and after a run, joined, and of the ideal; one run is shown, the first at first.

    Args:
        tables: "tuning_profiles" (run, point, facet, trait, low, high, n_items).
    """
    frame = tables["tuning_profiles"].filter(pl.col("point").is_in(["before", "after", "ideal"]))
    runs, rows = order(frame), facet_places(frame["facet"])
    height = 92 + 58 + int(FACET_ROW * (rows.bottom + 0.7))
    figure = new_figure(height, margin={"l": FACET_LEFT, "r": 24, "t": 56, "b": 58}, showlegend=True)
    known = persona_styles(["self", "meta"])
    hollow = {"color": "white", "line": {"color": known["self"].colour, "width": 1.8}}
    points: tuple[tuple[str, str, PersonaStyle, dict[str, Any], float], ...] = (
        ("ideal", "ideal before training", known["meta"], {}, _BELOW),
        ("before", "self before", known["self"], hollow, _ABOVE),
        ("after", "self after", known["self"], {}, _ABOVE),
    )
    for run in runs:
        own = frame.filter(pl.col("run") == run)
        shown: dict[str, Any] = {"visible": run == runs[0]}
        shown |= {"meta": {"run": run}} if len(runs) > 1 else {}
        figure.add_trace(_joined(own, rows, known["self"]).update(**shown))
        for point, name, style, marker, shift in points:
            part = own.filter(pl.col("point") == point)
            at = [rows.places[facet] + shift for facet in part["facet"]]
            hover = [
                f"<b>{label(row['facet'])}</b>, {name}: {estimate(row['trait'], row['low'], row['high'])}<br>"
                f"{row['n_items']} items, {run_label(run)}"
                for row in part.iter_rows(named=True)
            ]
            # the line leads from the start, whose interval would hide that of the end
            low, high = ("low", "high") if point != "before" else ("trait", "trait")
            ends = (column(part, "trait"), at, column(part, low), column(part, high))
            figure.add_trace(dot_trace(*ends, style=style, hover=hover, name=name, marker=marker).update(**shown))
    dress_facet_axis(figure, rows)
    figure.update_xaxes(title_text="trait score on test items (−1 to 1)")
    return figure


def _joined(own: pl.DataFrame, rows: FacetRows, style: PersonaStyle) -> go.Scatter:
    """A line from before to after for each facet."""
    known = {(row["point"], row["facet"]): row["trait"] for row in own.iter_rows(named=True)}
    x: list[float | None] = []
    y: list[float | None] = []
    for facet, at in rows.places.items():
        ends = [known.get((point, facet)) for point in ("before", "after")]
        if None not in ends:
            x += [*ends, None]
            y += [at + _ABOVE, at + _ABOVE, None]
    line = {"color": style.colour, "width": 3}
    return go.Scatter(x=x, y=y, mode="lines", line=line, opacity=0.45, hoverinfo="skip", showlegend=False)


def gap_by_run(tables: Tables) -> go.Figure:
    """Gap closed by every run: whole, profile, + items, − items; refused ones by the plain slope alone.

    Args:
        tables: "tuning_gap" (run, keys, centred, gap_closed, low, high, refused, naive_biased, n_items) and, where it
            is there, "tuning_runs".
    """
    return _by_row(tables, tables["tuning_gap"], "run", goal=1.0)


def beyond_by_run(tables: Tables) -> go.Figure:
    """How much more of the gap the first run closed than every other one, on the same items.

    Args:
        tables: "tuning_beyond" (as "tuning_gap", with other) and, where it is there, "tuning_runs".
    """
    return _by_row(tables, tables["tuning_beyond"], "other", goal=None)


def _by_row(tables: Tables, frame: pl.DataFrame, rows: str, *, goal: float | None) -> go.Figure:
    runs = order(frame, rows)
    styles = run_styles(list(dict.fromkeys([*targets(tables), *runs])), targets(tables))
    panels = [Panel(f"{keys}{centred}", name, _SHARE) for keys, centred, name in _KINDS]
    marks = [
        _gap_mark(row, place, runs.index(row[rows]), styles[row[rows]], name)
        for place, (keys, centred, name) in enumerate(_KINDS, start=1)
        for row in gaps(frame, keys, centred=centred).iter_rows(named=True)
    ]
    ends = {} if goal is None else dict.fromkeys(range(1, len(panels) + 1), goal)
    return estimate_panels(panels, [run_label(run) for run in runs], marks, ends=ends, shared=True)


def _gap_mark(row: dict[str, Any], place: int, at: int, style: PersonaStyle, name: str) -> Mark:
    beside = f" − {run_label(row['other'])}" if "other" in row else ""
    hover = (
        f"<b>{run_label(row['run'])}{beside}</b>, {name.lower()}<br>{hover_told(row)}<br>{biased(row)}<br>"
        f"n = {row['n_items']} items"
    )
    return Mark(place, float(at), row["gap_closed"], row["low"], row["high"], row["naive_biased"], style, hover)
