"""What is said of removals, patches and steered facets, and that nothing is said that is not there."""

import polars as pl
import pytest

from personascope.report.sentences_facet_steering import by_direction, curves, index, matrix
from personascope.report.sentences_necessity import ablation, patching


def removed(kind="probe", agreement=0.7, rank=2, subspace=None, **changes):
    row = {"layers": "12", "rank": rank, "subspace": subspace or kind, "kind": kind, "agreement": agreement}
    row |= {"agreement_low": agreement - 0.1, "agreement_high": agreement + 0.1, "swap_flips": 0.4}
    row |= {"baseline_swap_flips": 0.25}
    return row | {"swap_flips_low": 0.3, "swap_flips_high": 0.5, "n": 80} | changes


def frame(*rows):
    return pl.DataFrame(rows, infer_schema_length=None)


def test_a_removal_that_breaks_choices_is_said_beside_random_subspaces():
    text, count = ablation(
        frame(
            removed(),
            removed(rank=1, agreement=0.99),
            *(removed("isotropic", value) for value in (0.9, 0.95)),
            *(removed("variance-matched", value) for value in (0.6, 0.8)),
        )
    )
    assert text == (
        "Layer 12: with 2 directions of the probe taken out, 0.70 [0.60, 0.80] of the choices are those of the model "
        "left alone (n = 80); isotropic random subspaces leave 0.90 to 0.95 (0 of 2 as little or less), random ones "
        "with as much variance leave 0.60 to 0.80 (1 of 2 as little or less). The task changes with the order in 0.40 "
        "[0.30, 0.50] of the pairs, in 0.25 when left alone."
    )
    assert "than by all isotropic random subspaces in the only cell (a meaningless removal: about 0.3)" in count
    assert (
        "than by all random ones with as much variance in none of the 1 cell (a meaningless removal: about 0.3)"
        in count
    )


def test_without_random_subspaces_or_choices_nothing_is_compared():
    (text,) = ablation(frame(removed(layers="4, 5, 6, 9", rank=1, swap_flips=None)))
    assert text.startswith("Layers 4 to 6, 9: with 1 direction of the probe taken out")
    assert text.endswith("There are no random subspaces to compare with.")
    (text,) = ablation(frame(removed("isotropic")))
    assert text == "Layer 12: no choice was read without the probe's directions."


def patched(what="takes donor's task", rate=0.6, layer=5, donor="swapped order", half=0.1, **changes):
    row = {"where": "eot", "donor": donor, "layers": str(layer), "layer": layer, "what": what, "rate": rate}
    return row | {"low": rate - half, "high": rate + half, "n": 40, "n_pairs": 25} | changes


def test_where_a_choice_goes_over_is_said_beside_an_unrelated_donor_and_all_layers():
    rows = [patched(), patched(rate=0.2, layer=3), patched(rate=0.8, layer=-1)]
    rows += [patched(rate=0.1, donor="unrelated"), patched(rate=0.0, donor="own", half=0.0)]
    text, own = patching(frame(*rows))
    assert text == (
        "Rows of the other order put in at end of the user's turn (eot), takes the donor's task: most at layer 5 "
        "(picked on the same data, so optimistic), 0.60 [0.50, 0.70] (n = 40 in 25 pairs), against 0.10 [0.000, 0.20] "
        "(n = 40 in 25 pairs) for an unrelated prompt's rows. All layers together: 0.80 [0.70, 0.90] (n = 40 in 25 "
        "pairs)."
    )
    assert own == "A prompt's own rows change nothing, as they must."


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([patched(), patched(rate=0.5, donor="unrelated")], "for an unrelated prompt's rows; the intervals overlap."),
        ([patched(rate=0.02, donor="own")], "change 0.020 of its choices (eot, takes donor's task), which must be 0"),
        ([patched(where="from:eot")], "put in at all tokens from end of the user's turn (eot) on, takes the donor's"),
        ([patched("label flips")], "No choice could go over to a donor's."),
    ],
)
def test_weak_controls_are_named(rows, said):
    assert said in patching(frame(*rows))[-1]


def test_rates_that_nobody_could_show_are_left_out():
    none = frame(patched()).with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("rate", "low", "high"))
    assert patching(none) == ["No choice could go over to a donor's."]


def test_the_index_is_said_with_its_test_and_with_chance(tables):
    (text,) = index(tables["facet_selectivity_index"])
    assert "25 directions and 25 facets: 0.030 [0.010, 0.050], p < 0.001 over which direction is which facet." in text
    assert "A direction moves its own facet by +0.060 on average and the others by 0.030 in size; random" in text
    assert "15 of 25 directions move no other facet as much as they raise their own, where about 0.5 would" in text
    assert text.endswith(
        "follows the cosine of the two directions with r = 0.21 [0.10, 0.30], p = 0.020 (n = 600 pairs)."
    )
    assert "cosine" not in index(tables["facet_selectivity_index"].drop("cosine_r"))[0]
    nothing = tables["facet_selectivity_index"].with_columns(index=pl.lit(None, pl.Float64))
    assert index(nothing) == ["No index of selectivity could be computed."]


def test_directions_are_counted_by_sign_keys_interval_and_random_ones(tables):
    text, random = by_direction(tables["facet_selectivity_rows"])
    assert text.startswith("15 of 25 directions raise their own facet, and in 20 of 25 its + and − items move in")
    assert "interval above 0 for 11 of 25 and below 0 for 9." in text
    assert "is Sincerity: own effect +0.30, others 0.030 in size, selectivity 0.27 [0.22, 0.32], rank 1 of 25." in text
    assert random == (
        "On its own facet a direction does more than every random one in 18 of 25 cases, where a meaningless direction "
        "would in about 8.3."
    )
    alone = tables["facet_selectivity_rows"].with_columns(n_random=0, random_largest=pl.lit(None, pl.Float64))
    assert by_direction(alone)[1] == "There are no random directions to compare with."
    none = alone.with_columns(own_effect=pl.lit(None, pl.Float64))
    assert by_direction(none) == ["No direction has an effect on its own facet to show."]


def cell(steered, facet, effect, **changes):
    row = {"direction": steered or "random 1", "steered": steered, "facet": facet, "own": steered == facet}
    row |= {"coefficient": 0.1, "effect": effect, "low": effect - 0.1, "high": effect + 0.1}
    return row | {"positive": effect, "negative": -effect, "acquiescence": 0.05} | changes


def test_the_largest_effect_on_another_facet_and_yea_saying_are_said():
    rows = [cell("patience", "patience", 0.2), cell("patience", "anxiety", -0.4), cell("anxiety", "patience", 0.1)]
    rows += [cell("anxiety", "anxiety", 0.02), cell(None, "anxiety", 0.9)]
    text, yes = matrix(frame(*rows))
    assert text == (
        "Effects are half the difference of a facet's score at +0.10 and at −0.10. The largest on another facet "
        "(picked on the same data, so optimistic, of 2) is −0.40 [−0.50, −0.30] on Anxiety by the direction of "
        "Patience."
    )
    assert yes.startswith("In 1 of 2 cases a direction changes yea-saying")
    assert matrix(frame(cell(None, "anxiety", 0.9)).cast({"steered": pl.String})) == [
        "No effect of a facet's direction could be computed."
    ]


def test_a_facet_s_curve_is_said_beside_random_directions(tables):
    sincerity, fairness = curves(tables["facet_curves"])
    assert sincerity.startswith("Sincerity: The swing is larger than that of every random direction in all 4 cells")
    assert "is +0.32, from −0.060 to 0.26 between − and + of strength 0.20 at layer 9 (n = 40" in sincerity
    assert fairness.startswith("Fairness: ")
    plus = tables["facet_curves"].filter(pl.col("coefficient") > 0)
    assert curves(plus)[0] == "Sincerity: its score is not known at both signs of any strength."
