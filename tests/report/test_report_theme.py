"""Colours and markers of personas."""

import re
from itertools import combinations

import numpy as np
import plotly.io
import pytest

from personascope.instruments.personas import load_personas
from personascope.report.theme import new_figure, persona_styles, translucent

BUILT_IN = list(load_personas())


def test_a_built_in_persona_looks_the_same_in_whatever_company():
    alone = {name: persona_styles([name])[name] for name in BUILT_IN}
    assert persona_styles(["own", *reversed(BUILT_IN)]) == {"own": persona_styles(["own"])["own"], **alone}


def test_no_two_built_in_personas_share_a_colour():
    assert len({style.colour for style in persona_styles(BUILT_IN).values()}) == len(BUILT_IN)


def test_those_that_could_be_mixed_up_by_colour_or_by_marker_differ_in_the_other():
    """CIE76 below 20 is a close colour; a marker may be shared by personas of colours far apart."""
    styles = persona_styles([*BUILT_IN, *(f"own {number}" for number in range(8))])
    for one, other in combinations(styles.values(), 2):
        near = np.linalg.norm(_cielab(one.colour) - _cielab(other.colour)) < 20
        assert not (near and one.symbol == other.symbol), (one, other)
    reserved = persona_styles(BUILT_IN)
    assert len({reserved[name].symbol for name in BUILT_IN}) > len(BUILT_IN) - 6


def _cielab(colour):
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / [0.9505, 1.0, 1.089])  # good enough: none of the colours is near black
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_own_personas_get_colours_that_no_built_in_one_has():
    styles = persona_styles([*BUILT_IN, *(f"own {number}" for number in range(8))])
    assert len({style.colour for style in styles.values()}) == len(BUILT_IN) + 8


def test_the_order_of_own_personas_does_not_matter():
    assert persona_styles(["b", "a"]) == persona_styles(["a", "b"])


@pytest.mark.parametrize("style", persona_styles([*BUILT_IN, *(f"own {number}" for number in range(8))]).values())
def test_every_colour_stands_out_from_white_paper(style):
    assert re.fullmatch(r"#[0-9a-f]{6}", style.colour)
    channels = [int(style.colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) > 2.0  # WCAG contrast ratio with white


def test_translucent_keeps_the_colour():
    assert translucent("#0072b2", 0.5) == "rgba(0,114,178,0.5)"


def test_the_template_travels_with_the_figure_and_is_not_registered():
    before = (plotly.io.templates.default, list(plotly.io.templates))
    figure = new_figure(300)
    assert figure.layout.template.layout.plot_bgcolor == "white"
    assert (plotly.io.templates.default, list(plotly.io.templates)) == before
