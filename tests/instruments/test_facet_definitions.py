from pathlib import Path

import pytest

from personascope.errors import FileFormatError
from personascope.instruments.facet_definitions import load_facet_definitions
from personascope.instruments.facets import FACETS


def test_each_of_the_25_facets_has_two_poles_and_neighbours_among_the_others() -> None:
    definitions = load_facet_definitions()
    assert set(definitions) == set(FACETS)
    for name, one in definitions.items():
        assert one.pole(1) == one.high != one.low == one.pole(-1)
        assert len(one.neighbours) == 2
        assert {near.facet for near in one.neighbours} <= set(FACETS) - {name}
        for near in one.neighbours:  # a boundary speaks of both sides
            assert all(part in near.boundary.lower().replace("-", " ") for part in (words(name), words(near.facet))), (
                near.boundary
            )


def words(facet: str) -> str:
    return facet.replace("_", " ")


def test_all_sentences_differ() -> None:
    sentences = [text for one in load_facet_definitions().values() for text in (one.high, one.low)]
    assert len(set(sentences)) == 50 and all(text.endswith(".") for text in sentences)


def test_a_malformed_definition_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "facets.yaml"
    path.write_text("- facet: patience\n  high: Waits.\n  low: Rages.\n  neighbours: []\n")
    with pytest.raises(FileFormatError, match="line 1, field 'neighbours'"):
        load_facet_definitions(path)
