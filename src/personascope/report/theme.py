"""How figures look: one plotly template, and one colour and marker per persona wherever it appears.

Colours are those of Okabe & Ito (2008) and Tol (2021), chosen to stay apart under the common colour-vision
deficiencies, as far as they go; personas also differ by marker, so that no figure speaks by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

FONT = "Inter, 'Segoe UI', 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"
INK = "#1f2933"
MUTED = "#5f6b7a"
GRID = "#e6e9ee"
BAND = "#f6f7f9"
CONTROL = "#9aa3ae"
TEXT_BASELINE = "#b3572b"
POOLED = "#1d4e7e"
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#332288", "#999933")
"""Colours of series that are no personas: wordings, pairs of models."""
DIVERGING = [[0.0, "#2166ac"], [0.25, "#92c5de"], [0.5, "#f7f7f7"], [0.75, "#f4a582"], [1.0, "#b2182b"]]


@dataclass(frozen=True)
class PersonaStyle:
    """Colour (CSS hex) and plotly marker symbol of one persona."""

    colour: str
    symbol: str


_RESERVED = {
    "self": PersonaStyle("#0072b2", "circle"),
    "meta": PersonaStyle("#e69f00", "diamond"),
    "helpful": PersonaStyle("#009e73", "square"),
    "placebo": PersonaStyle("#8c8c8c", "x"),
    "evil": PersonaStyle("#d55e00", "triangle-up"),
    "assistant": PersonaStyle("#332288", "circle"),
    "mathematician": PersonaStyle("#56b4e9", "square"),
    "poet": PersonaStyle("#cc79a7", "diamond"),
    "slacker": PersonaStyle("#999933", "triangle-down"),
    # Those below are as far as they can be from all others in CIELAB (at least 25), not too bright and not too bold.
    "contrarian": PersonaStyle("#f04060", "hexagram"),
    "strategist": PersonaStyle("#303000", "diamond-tall"),
    "sentient_ai": PersonaStyle("#9080f0", "star-square"),
    "archivist": PersonaStyle("#805010", "octagon"),
    "stickler": PersonaStyle("#005040", "triangle-ne"),
    "hedonist": PersonaStyle("#f080f0", "star-diamond"),
    "caregiver": PersonaStyle("#60b030", "hexagon2"),
    "tinkerer": PersonaStyle("#e09070", "diamond-wide"),
    "sceptic": PersonaStyle("#402050", "star-triangle-down"),
    "storyteller": PersonaStyle("#8060a0", "star-triangle-up"),
    "idealist": PersonaStyle("#f04090", "triangle-se"),
    "clerk": PersonaStyle("#905050", "triangle-sw"),
    "teacher": PersonaStyle("#208090", "triangle-nw"),
    "comedian": PersonaStyle("#b02010", "hourglass"),
    "placebo_character": PersonaStyle("#708050", "x"),
    "all": PersonaStyle(POOLED, "circle"),
}
_FREE = (
    PersonaStyle("#882255", "pentagon"),
    PersonaStyle("#117733", "hexagon"),
    PersonaStyle("#6699cc", "star"),
    PersonaStyle("#661100", "cross"),
    PersonaStyle("#aa4499", "triangle-left"),
    PersonaStyle("#44aa99", "triangle-right"),
    PersonaStyle("#b8860b", "hourglass"),
    PersonaStyle("#4b5563", "bowtie"),
)
Styles = Mapping[str, PersonaStyle]


def persona_styles(personas: Iterable[str]) -> dict[str, PersonaStyle]:
    """A style per persona: built-in personas always get the same one, others take the free ones in name order."""
    names = dict.fromkeys(personas)
    others = sorted(name for name in names if name not in _RESERVED)
    own = {name: _FREE[index % len(_FREE)] for index, name in enumerate(others)}
    return {name: _RESERVED.get(name) or own[name] for name in names}


def translucent(colour: str, alpha: float) -> str:
    """A hex colour as CSS rgba with opacity `alpha`."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def template() -> go.layout.Template:
    """The template that every figure carries with it; nothing is registered globally."""
    axis = {
        "showgrid": True,
        "gridcolor": GRID,
        "zeroline": True,
        "zerolinecolor": "#9aa3ae",
        "zerolinewidth": 1.2,
        "linecolor": "#c3cad3",
        "ticks": "",
        "ticklabelstandoff": 6,
        "tickfont": {"size": 12.5},
        "title": {"font": {"size": 13, "color": MUTED}, "standoff": 10},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": INK},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "margin": {"l": 70, "r": 24, "t": 48, "b": 56},
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": "white",
                "bordercolor": "#c3cad3",
                "align": "left",
                "font": {"family": FONT, "size": 12.5, "color": INK},
            },
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
                "font": {"size": 13},
            },
            "annotationdefaults": {"font": {"size": 12.5, "color": INK}},
            "hovermode": "closest",
        }
    )


def new_figure(height: int, **layout: object) -> go.Figure:
    """An empty figure of the house style; its width follows the page."""
    return go.Figure(layout={"template": template(), "height": height, **layout})
