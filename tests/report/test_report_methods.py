"""The methods in words: every count comes from the tables, and what is absent is not spoken of."""

import polars as pl
import pytest

from personascope.report.methods import methods_text


def study(models=("a", "b"), wordings=("1", "2"), as_if=1):
    """4 items of 2 facets, all in wording 1, the first two in the others."""
    rows = [
        {
            "model": model,
            "persona": persona,
            "phrasing": wording,
            "order": order,
            "item": f"i{item}",
            "label_mass": 0.9 - 0.01 * item,
            "applicability": "as-if" if item < as_if else "applicable",
        }
        for model in models
        for persona in ("self", "meta")
        for wording in wordings
        for order in ("ascending", "descending")
        for item in range(4 if wording == "1" else 2)
    ]
    items = pl.DataFrame({"item": ["i0", "i1", "i2", "i3"], "facet": ["f", "f", "g", "g"]})
    return {"answers": pl.DataFrame(rows), "hexaco_items": items}


def text_of(tables, **more):
    return methods_text(tables, **{"seed": 3, "resamples": 2000, **more})


def test_counts_are_those_of_the_tables():
    tables = study()
    material, scoring, statistics, exclusions = text_of(tables)
    n = tables["answers"].height
    assert n == 48
    assert material == (
        "Material. 4 items on 2 facets, one item to a prompt, were asked of a, b under the personas self, meta, in "
        f"both anchor orders: {n} answers. The second wording of each persona put 2 of them. Scores are of the first "
        "wording."
    )
    assert scoring.startswith("Scoring. ")
    assert "(2,000 resamples, seed 3)" in statistics
    assert exclusions == (
        "Exclusions. None: every answer is in the scores. Items kept that a respondent without a body answers only as "
        "if: 1. The lowest label mass of any answer is 0.87."
    )


@pytest.mark.parametrize(
    ("wordings", "said"), [(("1",), None), (("1", "2"), "The second wording"), (("1", "2", "3"), "Wordings 2 to 3")]
)
def test_further_wordings_are_spoken_of_only_where_asked(wordings, said):
    material = text_of(study(wordings=wordings))[0]
    assert (said in material) if said else ("put" not in material)


def test_one_model_and_no_column_of_models():
    assert "were asked of a under" in text_of(study(models=("a",)))[0]
    tables = study(models=("a",))
    tables["answers"] = tables["answers"].drop("model", "applicability")
    material, *_, exclusions = text_of(tables)
    assert "were asked under the personas" in material
    assert "only as if" not in exclusions


def test_without_items_answered_as_if_none_are_spoken_of():
    assert text_of(study(as_if=0))[-1] == (
        "Exclusions. None: every answer is in the scores. The lowest label mass of any answer is 0.87."
    )


@pytest.mark.parametrize("mass", [None, float("nan")])
def test_no_label_mass_reads_as_such(mass):
    tables = study()
    tables["answers"] = tables["answers"].with_columns(label_mass=pl.lit(mass, pl.Float64))
    assert text_of(tables)[-1].endswith("The lowest label mass of any answer is not available.")


def test_paragraphs_are_single_lines_without_holes():
    for text in text_of(study()):
        assert "\n" not in text
        assert "  " not in text
        assert "None," not in text
        assert "nan" not in text
        assert "{" not in text
