"""What is said of directions between layers, of facets, and of another model."""

import polars as pl
import pytest
from sweep_tables import probe_numbers

from personascope.report.findings_sweep import cosine_layer, facet_layer, facets_open_at
from personascope.report.sentences_layers import across_models, between_layers, facet_cosines, facets, norms


def agreement(cosine, r):
    layers = (1, 4, 9)
    rows = [
        {"layer": layer, "other": other, "cosine": cosine[i][j], "r": r[i][j], "n": 80}
        for i, layer in enumerate(layers)
        for j, other in enumerate(layers)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


COSINES = [[1.0, 0.8, 0.1], [0.8, 1.0, 0.6], [0.1, 0.6, 1.0]]


def test_neighbouring_layers_are_told_from_the_first_and_last():
    (text,) = between_layers(agreement(COSINES, [[0.2, 0.1, 0.0], [0.1, 0.4, 0.25], [0.0, 0.1, 0.3]]))
    assert "neighbouring layers have cosines of 0.60 to 0.80, the first and the last 0.10" in text
    assert (
        "own layer a probe reaches r = 0.20 to 0.40, to another 0.00 to 0.25 (n = 80 tasks)".replace("0.00", "0.000")
        in text
    )
    assert "of layer 4, reads r = 0.40 there and at least half of it at 1 of 2 other layers" in text


def test_layers_that_read_nothing_have_cosines_of_noise():
    (text,) = between_layers(agreement(COSINES, [[-0.1] * 3] * 3))
    assert "so it reads nothing" in text
    assert "As no layer reads the utilities" in text


def test_one_layer_has_nothing_to_compare():
    one = agreement(COSINES, COSINES).filter(layer=1, other=1)
    assert between_layers(one) == ["With one layer there is nothing to compare between layers."]


def test_lengths_name_the_first_the_last_and_a_peak_between_them():
    rows = [("tasks", layer, "eot", mean, 1.0, 9) for layer, mean in ((9, 20.0), (1, 10.0), (4, 50.0))]
    frame = pl.DataFrame(rows, schema=["store", "layer", "position", "mean", "sd", "n"], orient="row")
    (text,) = norms(frame)
    assert "tasks at eot 10.0 (layer 1), 20.0 (layer 9), at most 50.0 (layer 4)" in text


def facet(name, layer, value, **changes):
    place = {"target": name, "persona": "all", "position": "eot", "layer": layer}
    return place | probe_numbers(value, n=40) | changes


def test_facets_are_counted_at_the_layer_with_the_highest_mean_against_both_controls():
    rows = [
        facet("patience", 2, 0.5),
        facet("sincerity", 2, 0.1),
        facet("patience", 5, 0.1),
        facet("sincerity", 5, 0.2),
    ]
    text, caution = facets(pl.DataFrame(rows))
    assert facet_layer(pl.DataFrame(rows)) == 2
    assert "at layer 2, which has the highest mean r over facets: 1 of 2 facets beat the 95th percentile" in text
    assert "(about 0.1 would by chance), and 1 of 2 beat the text alone" in text
    assert "Highest Patience 0.50 [0.41, 0.59]; lowest Sincerity 0.10" in text
    assert "(n = 40 rows)" in text
    assert "optimistic" in caution


def test_negative_correlations_beat_nothing():
    rows = [facet("patience", 2, -0.1, shuffled_high=-0.3, over_text_low=0.1)]
    text, _ = facets(pl.DataFrame(rows))
    assert "none of the 1 facets beat the 95th percentile" in text
    assert "none of the 1 beat the text alone" in text


def cosines(*rows):
    both = [*rows, *((other, one, *rest) for one, other, *rest in rows)]
    return pl.DataFrame(both, schema=["direction", "other", "layer", "cosine", "null_high"], orient="row")


PAIRS = [
    *(("preference", "patience", 1, 0.5, 0.2), ("preference", "flexibility", 1, -0.3, 0.2)),
    *(("preference", "sincerity", 1, 0.1, 0.2), ("patience", "flexibility", 1, 0.4, 0.2)),
    *(("patience", "sincerity", 1, 0.1, 0.2), ("flexibility", "sincerity", 1, 0.0, 0.2)),
    *(("preference", "patience", 3, 0.9, 0.2), ("preference", "flexibility", 3, 0.1, 0.2)),
]


def test_cosines_with_preference_are_counted_on_both_sides_and_over_all_layers():
    text, between = facet_cosines(cosines(*PAIRS))
    assert "At layer 1, the one with the most facets beyond their null, 2 of 3 facets" in text
    assert "about 0.2 by chance".replace("by", "would by") in text
    assert "Patience 0.50 (random 0.20), Flexibility −0.30" in text
    assert "Over all layers it is 60.0 % of cosines, where 5 % would be by chance" in text
    assert "the mean cosine is 0.40 within a domain (1 pair) and 0.050 between domains (2 pairs)" in between
    assert "1 of 3 pairs lie beyond their null" in between
    assert "more alike than others, which is a description, not a test" in between


def test_no_facet_beyond_the_null_is_said_as_plainly():
    text, *_ = facet_cosines(cosines(("preference", "patience", 1, 0.1, 0.2), ("preference", "sincerity", 1, 0.0, 0.2)))
    assert "At layer 1, the one with the largest cosine, none of the 2 facets" in text
    assert "it is 0 % of cosines" in text


def test_figures_of_facets_open_at_one_layer():
    probes = pl.DataFrame([facet("patience", 2, 0.5), facet("patience", 3, 0.1)])
    assert cosine_layer(cosines(*PAIRS)) == 1
    assert facets_open_at({"facet_probes": probes, "facet_cosines": cosines(*PAIRS)}) == 2
    assert facets_open_at({"facet_cosines": cosines(*PAIRS)}) == 1


def crossed(own, other, **changes):
    rows = []
    for model, value in (("other", other), ("mine", own)):
        place = {"model": model, "utilities_of": "mine", "persona": "poet", "position": "eot", "layer": 3}
        utility = {"utility_r": 0.4, "utility_low": 0.2, "utility_high": 0.6}
        rows.append(place | probe_numbers(value) | utility | changes)
    return pl.DataFrame(rows)


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        (0.5, 0.3, "Its own interval lies above what other reads, so part of it may be its own."),
        (0.5, 0.45, "other reads less, but within the interval, so nothing here is shown to be its own."),
        (0.5, 0.5, "other reads as much, so nothing here is shown to be its own."),
        (0.1, 0.3, "As mine itself does not read them, there is nothing to share."),
        (-0.1, -0.2, "there is nothing to share"),
    ],
)
def test_what_another_model_reads_is_held_against_ones_own(own, other, said):
    text, agree, _ = across_models(crossed(own, other))
    assert said in text
    assert text.startswith("Utilities of mine (n = 80 tasks). Its own activations reach r = ")
    assert "utilities of mine and other correlate at 0.40 [0.20, 0.60]" in agree
