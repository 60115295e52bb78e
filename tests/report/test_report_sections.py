"""Sections, their selectors, and the tables that they need."""

import polars as pl
import pytest
from report_tables import CHOOSERS, HEXACO, LAYERS

from personascope.errors import DataError
from personascope.report.sections import sections
from personascope.report.selectors import ALL
from personascope.report.tables import REQUIRED, personas, present
from personascope.report.theme import persona_styles

TABLE_SECTIONS = {
    "hexaco_facets": "profile",
    "hexaco_domains": "profile",
    "hexaco_contrasts": "contrasts",
    "hexaco_items": "answers",
    "hexaco_quality": "answers",
    "utilities": "preferences",
    "preference_quality": "preferences",
    "utility_correlations": "preferences",
    "probes": "probes",
    "transfer": "transfer",
    "direction_cosines": "directions",
    "steering": "steering",
}


def built(tables):
    return sections(present(tables), persona_styles(personas(tables)))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_table_alone_gives_its_section_alone(tables, name):
    (section,) = built({name: tables[name]})
    assert section.id == TABLE_SECTIONS[name]
    assert section.drawings
    assert section.care


@pytest.mark.parametrize("name", REQUIRED)
def test_a_table_with_one_row_and_no_numbers_still_gives_a_section(tables, name):
    numbers = [c for c, dtype in tables[name].schema.items() if dtype.is_float() and c not in ("coefficient",)]
    thin = tables[name].head(1).with_columns(pl.lit(None, pl.Float64).alias(column) for column in numbers)
    (section,) = built({name: thin})
    assert all(text.strip() for text in section.paragraphs)
    assert not any("None" in text or "nan" in text for text in section.paragraphs)


def test_nan_reads_like_a_missing_number(tables):
    frame = tables["hexaco_facets"]
    null, nan = (frame.with_columns(trait=pl.lit(value, pl.Float64)) for value in (None, float("nan")))
    assert [s.paragraphs for s in built({"hexaco_facets": nan})] == [
        s.paragraphs for s in built({"hexaco_facets": null})
    ]


def test_every_table_has_a_figure_and_element_ids_are_unique(tables):
    found = built(tables)
    ids = [section.id for section in found]
    ids += [drawing.id for section in found for drawing in section.drawings]
    ids += [selector.id for section in found for selector in section.selectors]
    assert len(ids) == len(set(ids))
    assert sum(len(section.drawings) for section in found) == len(REQUIRED) + 1


def test_tables_without_rows_and_unknown_tables_are_left_out(tables):
    assert built({"hexaco_facets": tables["hexaco_facets"].clear(), "choices": tables["utilities"]}) == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_column_is_named(tables, name):
    column = REQUIRED[name][-1]
    with pytest.raises(DataError, match=f"Table '{name}' has no column '{column}'"):
        built({name: tables[name].drop(column)})


def test_every_figure_of_a_persona_has_the_same_colour_on_the_whole_page(tables):
    seen = {}
    for section in built(tables):
        for drawing in section.drawings:
            for trace in drawing.figure.data:
                persona = (trace.meta or {}).get("persona")
                colour = trace.marker.color if trace.type == "scatter" and trace.error_x.array is not None else None
                if persona and isinstance(colour, str):
                    seen.setdefault(persona, set()).add(colour)
    assert {persona: len(colours) for persona, colours in seen.items()} == dict.fromkeys(HEXACO, 1)


def test_personas_of_all_tables_are_known_and_directions_of_a_sweep_are_not_personas(tables):
    assert set(personas(tables)) == {*HEXACO, *CHOOSERS, "all"}


def test_selectors_are_those_the_section_can_obey(tables):
    keys = {section.id: [selector.key for selector in section.selectors] for section in built(tables)}
    assert keys == {
        "profile": ["persona"],
        "contrasts": [],
        "answers": ["persona"],
        "preferences": ["persona"],
        "probes": ["target", "persona", "position"],
        "transfer": ["layer"],
        "directions": ["layer"],
        "steering": ["target", "layer"],
    }


def test_a_selector_starts_on_what_is_visible(tables):
    for section in built(tables):
        for selector in section.selectors:
            assert selector.initial in dict(selector.options)
            for drawing in section.drawings:
                for trace in drawing.figure.data:
                    if trace.meta and selector.key in trace.meta and trace.visible is not False:
                        assert selector.initial in (ALL, str(trace.meta[selector.key]))


def test_layers_are_offered_in_order_and_personas_by_readable_name(tables):
    found = {selector.id: selector for section in built(tables) for selector in section.selectors}
    assert [value for value, _ in found["transfer-layer"].options] == [str(layer) for layer in LAYERS]
    assert found["profile-persona"].options[:2] == ((ALL, "All personas"), ("self", "Self"))
    assert found["answers-persona"].initial == "self"


def test_one_value_needs_no_selector(tables):
    one = tables["transfer"].filter(layer=6)
    assert built({"transfer": one})[0].selectors == ()
