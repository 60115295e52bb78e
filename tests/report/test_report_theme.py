"""Colours and markers of personas."""

import re

import plotly.io
import pytest

from personascope.report.theme import new_figure, persona_styles, translucent

BUILT_IN = ["self", "meta", "helpful", "placebo", "evil", "assistant", "mathematician", "poet", "slacker"]


def test_a_built_in_persona_looks_the_same_in_whatever_company():
    alone = {name: persona_styles([name])[name] for name in BUILT_IN}
    assert persona_styles(["own", *reversed(BUILT_IN)]) == {"own": persona_styles(["own"])["own"], **alone}


def test_no_two_built_in_personas_share_a_colour():
    assert len({style.colour for style in persona_styles(BUILT_IN).values()}) == len(BUILT_IN)


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
