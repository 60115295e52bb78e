"""A language model that reads interviews: surprise at answers, calibration, and what its states hold of people."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from personascope.report.dots import Panel, column, number_with_interval, persona_panels
from personascope.report.figures_interview import curve_traces, empty_panels
from personascope.report.outline import Tables
from personascope.report.theme import CONTROL, INK, SERIES, TEXT_BASELINE, PersonaStyle, new_figure
from personascope.report.wording import excerpt, figure_text, label, number, pretty

_BASELINE, _BOUND, _MODEL = "item marginals", "the population itself", "language model"
_ROW, _ABOVE, _BELOW = 34, 78, 58
_STATEMENT = 60
"""Characters of a statement beside a row."""


def errors(tables: Tables) -> go.Figure:
    """Bits of surprise at an answer by questions, for each kind of items.

    Args:
        tables: "responder_errors" (see `experiments.responder_tables`).
    """
    frame = tables["responder_errors"]
    styles = predictor_styles(frame)
    kinds = list(frame["items"].unique(maintain_order=True))
    figure = empty_panels([f"Items {pretty(kind).lower()}" for kind in kinds], "questions", "bits of surprise")
    seen: set[str] = set()
    for (kind, predictor), part in frame.group_by("items", "predictor", maintain_order=True):
        name = str(predictor)
        hover = [
            f"<b>{label(name)}</b>, {row['questions']} questions<br>surprise "
            f"{number_with_interval(row['bits'], row['bits_low'], row['bits_high'])} bits<br>below the item marginals "
            f"{number_with_interval(row['gain'], row['gain_low'], row['gain_high'])}<br>error {number(row['rmse'])} sd"
            f"<br>n = {row['n']} people"
            for row in part.iter_rows(named=True)
        ]
        drawn = part.select("questions", "bits", low="bits_low", high="bits_high")
        traces = curve_traces(drawn, "questions", "bits", styles[name], name, hover, named=name not in seen)
        seen.add(name)
        for trace in traces:
            figure.add_trace(trace, row=1, col=kinds.index(kind) + 1)
    return figure


def calibration(tables: Tables) -> go.Figure:
    """Observed share of options against the expected one.

    Args:
        tables: "responder_calibration" (see `interviews.calibration`).
    """
    frame = tables["responder_calibration"]
    styles = predictor_styles(frame)
    figure = empty_panels([""], "expected probability", "observed share")
    top = max([1e-3, *(value for value in column(frame, "p") if value), *(v for v in column(frame, "share") if v)])
    diagonal = {"x": [0, top], "y": [0, top], "mode": "lines", "line": {"color": CONTROL, "dash": "dot", "width": 1.5}}
    figure.add_trace(go.Scatter(**diagonal, name="as expected", hoverinfo="skip"))
    for (predictor,), part in frame.group_by("predictor", maintain_order=True):
        name = str(predictor)
        hover = [
            f"<b>{label(name)}</b><br>expected {number(row['p'])}<br>observed "
            f"{number_with_interval(row['share'], row['low'], row['high'])}<br>n = {row['n']} options"
            for row in part.iter_rows(named=True)
        ]
        for trace in curve_traces(part, "p", "share", styles[name], name, hover, named=True):
            figure.add_trace(trace, row=1, col=1)
    return figure.update_layout(height=480)


def probes(tables: Tables) -> go.Figure:
    """What is read from the states, target by target, beside what the answers themselves give; a layer at a time.

    Args:
        tables: "responder_probes" (see `experiments.responder_tables`).
    """
    frame = tables["responder_probes"]
    targets = list(frame["target"].unique(maintain_order=True))
    states = list(frame["state"].unique(maintain_order=True))
    layers = list(frame["layer"].unique().sort())
    figure = new_figure(_ABOVE + _BELOW + _ROW * max(2, len(targets)), margin={"l": 200, "r": 24, "t": _ABOVE, "b": 58})
    for layer in layers:
        here = frame.filter(pl.col("layer") == layer)
        meta = {"layer": layer}
        shown = {"meta": meta, "visible": layer == layers[len(layers) // 2]}
        first = here.filter(pl.col("state") == states[-1])
        for name, field, symbol, colour in (
            ("shuffled people, 95th percentile", "shuffled_high", "line-ns-open", CONTROL),
            ("the answers alone", "text_baseline", "diamond-open", TEXT_BASELINE),
            ("graded response model", "encoder_baseline", "square-open", INK),
        ):
            figure.add_trace(_marks(first, field, name, symbol, colour).update(shown))
        for number_, state in enumerate(states):
            part = here.filter(pl.col("state") == state)
            figure.add_trace(_dots(part, str(state), SERIES[number_ % len(SERIES)]).update(shown))
    figure.update_xaxes(title_text="correlation of prediction and truth (held-out people)")
    figure.update_yaxes(categoryorder="array", categoryarray=[pretty(target) for target in targets[::-1]])
    return figure.update_layout(legend={"y": 1.02, "yanchor": "bottom"})


def people(tables: Tables) -> go.Figure:
    """Who knows people again: log2 posterior of the true person, and how often it comes first.

    Args:
        tables: "responder_people" (see `experiments.responder_people`).
    """
    frame = tables["responder_people"].rename({"reader": "persona", "low": "log2_p_low", "high": "log2_p_high"})
    panels = (Panel("log2_p", "log2 posterior", "bits"), Panel("top_1", "put first", "share", (0.0, 1.0)))
    return persona_panels(frame, panels)


def synthetic(tables: Tables) -> go.Figure:
    """How far people who were made up are from people, measure by measure.

    Args:
        tables: "responder_synthetic" (see `experiments.responder_writing`).
    """
    panels = (
        Panel("mean", "means", "options"),
        Panel("sd", "spreads of items", "options"),
        Panel("correlation", "correlations", "r"),
        Panel("spread", "spread of people", "made up : real"),
        Panel("copies", "copies", "share", (0.0, 1.0)),
    )
    return persona_panels(tables["responder_synthetic"].rename({"source": "persona"}), panels)


def novel(tables: Tables) -> go.Figure:
    """What answers to each question are expected to tell, and what they told; written ones above those of the bank.

    Args:
        tables: "responder_novel" (see `experiments.responder_writing`).
    """
    frame = tables["responder_novel"].rename({"item": "persona", "low": "gain_low", "high": "gain_high"})
    kinds = frame["kind"].unique(maintain_order=True).to_list()
    colours = dict(zip(kinds, SERIES, strict=False))
    styles = {row["persona"]: PersonaStyle(colours[row["kind"]], "circle") for row in frame.iter_rows(named=True)}
    panels = (
        Panel("gain", "expected to tell", "bits"),
        Panel("realised", "told", "bits"),
        Panel("entropy", "uncertainty of the answer", "bits"),
    )
    names = [figure_text(excerpt(f"{row['kind']}: {row['text']}", _STATEMENT)) for row in frame.iter_rows(named=True)]
    return persona_panels(frame, panels, styles, names).update_layout(margin={"l": 420})


def predictor_styles(frame: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and dash of every predictor: baseline grey, bound black, models dashed, the language model solid."""
    names = list(frame["predictor"].unique(maintain_order=True))
    fixed = {_BASELINE: (CONTROL, "dot"), _BOUND: (INK, "longdash")}
    others = [name for name in names if name not in fixed]
    return {
        name: fixed.get(name)
        or (SERIES[others.index(name) % len(SERIES)], "solid" if name.startswith(_MODEL) else "dash")
        for name in names
    }


def _marks(part: pl.DataFrame, field: str, name: str, symbol: str, colour: str) -> go.Scatter:
    known = part.drop_nulls(field)
    return go.Scatter(
        x=column(known, field),
        y=[pretty(target) for target in known["target"]],
        mode="markers",
        name=name,
        marker={"symbol": symbol, "color": colour, "size": 12, "line": {"width": 2, "color": colour}},
        hovertext=[f"{name}: {number(value)}" for value in column(known, field)],
        hoverinfo="text",
    )


def _dots(part: pl.DataFrame, state: str, colour: str) -> go.Scatter:
    known = part.drop_nulls("value")
    ends = [
        [
            abs((row[end] if row[end] is not None else row["value"]) - row["value"])
            for row in known.iter_rows(named=True)
        ]
        for end in ("high", "low")
    ]
    return go.Scatter(
        x=column(known, "value"),
        y=[pretty(target) for target in known["target"]],
        mode="markers",
        name=f"{pretty(state)} model",
        marker={"color": colour, "size": 10},
        error_x={"type": "data", "array": ends[0], "arrayminus": ends[1], "color": colour, "thickness": 1.5},
        hovertext=[
            f"<b>{pretty(row['target'])}</b>, {pretty(state).lower()}, layer {row['layer']}<br>r "
            f"{number_with_interval(row['value'], row['low'], row['high'])}<br>the answers alone "
            f"{number(row['text_baseline'])}<br>shuffled people {number(row['shuffled_high'])}<br>n = {row['n']} people"
            for row in known.iter_rows(named=True)
        ],
        hoverinfo="text",
    )
