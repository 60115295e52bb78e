"""Sections, their selectors, and the tables that they need."""

import hashlib

import polars as pl
import pytest
from report_tables import CHOOSERS, HEXACO, LAYERS, of_two_models

from personascope.errors import DataError
from personascope.report.outline_steering import STEERING
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
    "hexaco_bias": "bias",
    "hexaco_shrunken": "contrasts",
    "hexaco_equivalence": "contrasts",
    "hexaco_power": "contrasts",
    "hexaco_adjusted": "bias",
    "hexaco_specifications": "wordings",
    "hexaco_components": "wordings",
    "hexaco_icc": "wordings",
    "hexaco_d_study": "wordings",
    "hexaco_variants": "asking",
    "hexaco_read_outs": "asking",
    "hexaco_reasons": "asking",
    "hexaco_just_helpful": "just-helpful",
    "hexaco_short_and_rest": "short-form",
    "hexaco_between_models": "models",
    "utilities": "preferences",
    "preference_quality": "preferences",
    "utility_correlations": "preferences",
    "preference_retest": "trust",
    "preference_accuracy": "trust",
    "preference_circles": "trust",
    "preference_design": "trust",
    "stated_ratings": "trust",
    "rating_agreement": "trust",
    "written_outcomes": "written-choices",
    "written_refusals": "written-choices",
    "written_judging": "written-choices",
    "written_consistency": "written-choices",
    "written_agreement": "written-choices",
    "written_calibration": "written-choices",
    "persona_profiles": "persona-space",
    "persona_components": "persona-space",
    "persona_map": "persona-space",
    "persona_correlations": "persona-space",
    "persona_clusters": "persona-space",
    "persona_cluster_counts": "persona-space",
    "persona_representatives": "persona-space",
    "persona_extremes": "persona-space",
    "probes": "probes",
    "leave_one_group": "controls",
    "confounds": "controls",
    "removals": "controls",
    "layer_agreement": "layers",
    "residual_norms": "layers",
    "facet_probes": "facets",
    "facet_cosines": "facets",
    "cross_model": "cross-model",
    "transfer": "transfer",
    "direction_cosines": "directions",
    "steering": "steering",
    **dict.fromkeys(("transfer_asymmetry", "transfer_means", "weight_cosines"), "transfer"),
    **dict.fromkeys(("probe_bias", "matched_choices", "diversity", "persona_tracking"), "whose-preference"),
    **dict.fromkeys(("facet_transfer", "facet_transfer_asymmetry", "facet_transfer_means"), "facet-transfer"),
    "facet_weight_cosines": "facet-transfer",
    **dict.fromkeys(("shift_cells", "shift_correlations", "shift_levels"), "induced-shifts"),
    **dict.fromkeys(("shift_targets", "shift_rank_summary"), "induced-shifts"),
    **dict.fromkeys(("stimulus_effects", "stimulus_differences"), "stimuli"),
    **dict.fromkeys(("steering_curves", "steering_effects", "steering_dose", "steering_position"), "steered-choices"),
    **dict.fromkeys(("steering_norms", "steering_guards", "steering_ranges"), "usable-range"),
    **dict.fromkeys(("steered_written", "steered_open", "steered_compliance", "steered_answers"), "steered-writing"),
    "steered_judge": "steered-writing",
    **{"span_judge": "steered-spans", "steered_spans": "steered-spans", "spliced": "isolated-steering"},
    **dict.fromkeys(("cross_effects", "cross_curves", "cross_differences"), "cross-steering"),
    **{"ablation": "necessity", "patching": "patching", "facet_curves": "facet-steering"},
    **{f"facet_selectivity{more}": "facet-steering" for more in ("", "_rows", "_index")},
    **dict.fromkeys(("tuning_runs", "tuning_history", "tuning_examples"), "taught"),
    **dict.fromkeys(("tuning_profiles", "tuning_closure", "tuning_gap", "tuning_beyond"), "toward-ideal"),
    **dict.fromkeys(("tuning_drift_facets", "tuning_drift"), "ideal-drift"),
    **dict.fromkeys(("tuning_specificity", "tuning_shape", "tuning_likeness"), "toward-whom"),
    **{"tuning_transfer": "tuning-elsewhere", "tuning_held_out": "tuning-elsewhere"},
    **{"tuning_side_effects": "tuning-damage", "tuning_shift": "tuning-shift", "tuning_subspace": "tuning-shift"},
    **{f"tuning_{name}": "steered-or-tuned" for name in ("compared", "responses", "compared_facets")},
    **{f"tuning_{name}": "unrequested" for name in ("unrequested", "unrequested_totals", "selected", "projection")},
    **{
        f"planted_{name}": "planted"
        for name in ("recovery", "utilities", "opposition", "cosines", "transfer", "steering")
    },
    **{f"interview_{name}": "interviews" for name in ("identification", "prediction", "questions", "rounds")},
    **{f"responder_{name}": "responder" for name in ("training", "errors", "calibration")},
    "responder_probes": "reader-states",
    "responder_people": "reader-states",
    "responder_synthetic": "reader-writes",
    "responder_novel": "reader-writes",
}
WORDS_ONLY = {"hexaco_power", "hexaco_components", "hexaco_just_helpful", "hexaco_reasons"}
WORDS_ONLY |= {"stated_ratings", "written_refusals", "written_judging", "persona_clusters", "persona_representatives"}
WORDS_ONLY |= {"persona_tracking", "shift_levels", "steered_answers", "facet_selectivity_index"}
WORDS_ONLY |= {"cross_differences", "steered_judge", "span_judge"}
WORDS_ONLY |= {"tuning_runs", "tuning_examples", "tuning_closure", "tuning_drift", "tuning_compared"}
WORDS_ONLY |= {"tuning_unrequested_totals", "tuning_selected", "responder_training", "interview_rounds"}
WORDS_ONLY |= {"planted_opposition", "planted_cosines", "planted_transfer", "planted_steering"}
"""Alone they have words but no figure; just_helpful needs the residuals for one."""
SUPPORT = "hexaco_just_helpful_residuals"
SHOWN = [name for name in REQUIRED if name != SUPPORT]


def built(tables):
    return sections(present(tables), persona_styles(personas(tables)))


@pytest.fixture(scope="module")
def whole(tables):
    """The sections of all tables, built once."""
    return built(tables)


def drawn(section):
    """Each figure's id and digest: figures that differ shall not be spelled out."""
    return [
        (drawing.id.partition("-m1")[0].partition("-m2")[0], hashlib.sha256(drawing.figure.to_json().encode()).digest())
        for drawing in section.drawings
    ]


def test_every_table_is_in_a_section_or_supports_one():
    assert set(TABLE_SECTIONS) == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_table_alone_gives_its_section_alone(tables, name):
    (section,) = built({name: tables[name]})
    assert section.id == TABLE_SECTIONS[name]
    assert section.paragraphs or name not in WORDS_ONLY
    assert bool(section.drawings) == (name not in WORDS_ONLY)
    assert section.care


def test_residuals_alone_give_nothing_and_with_their_slope_the_figure(tables):
    pair = {name: tables[name] for name in ("hexaco_just_helpful", SUPPORT)}
    assert built({SUPPORT: tables[SUPPORT]}) == []
    (section,) = built(pair)
    assert [drawing.id for drawing in section.drawings] == ["just-helpful-profile"]
    slopeless = pair["hexaco_just_helpful"].with_columns(slope=pl.lit(None, pl.Float64))
    (section,) = built(pair | {"hexaco_just_helpful": slopeless})
    assert section.drawings == ()
    assert section.paragraphs[0].startswith("There is no slope to show.")


@pytest.mark.parametrize("name", SHOWN)
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


@pytest.mark.parametrize("name", [name for name in SHOWN if name.startswith("hexaco")])
def test_a_column_of_nulls_without_a_type_reads_like_one_with(tables, name):
    """Tables made from rows have such columns wherever nothing was computed."""
    text = {"reasoning", "wish", "statement", "order", "flag", "untested"}
    may_lack = {c for c, t in tables[name].schema.items() if t.is_float() or t == pl.Boolean or c in text}
    gone = [c for c in REQUIRED[name] if c in may_lack] + (["value"] if name == "hexaco_reasons" else [])
    frame = tables[name].with_columns(pl.lit(None).alias(column) for column in gone)
    typed = frame.with_columns(pl.col(column).cast(tables[name].schema[column]) for column in gone)
    (untyped,), (section,) = built({name: frame}), built({name: typed})
    assert (untyped.paragraphs, untyped.quotes, drawn(untyped)) == (section.paragraphs, section.quotes, drawn(section))


def test_every_table_has_a_figure_and_element_ids_are_unique(whole):
    found = whole
    ids = [section.id for section in found]
    ids += [drawing.id for section in found for drawing in section.drawings]
    ids += [selector.id for section in found for selector in section.selectors]
    assert len(ids) == len(set(ids))
    without = (WORDS_ONLY - {"hexaco_just_helpful"}) | {SUPPORT}  # these draw nothing of their own
    together = {"preference_accuracy", "preference_circles", "rating_agreement", "written_agreement"}
    together |= {"persona_components"}  # these are in the figure of another
    twice = {"direction_cosines", "leave_one_group", "confounds", "facet_cosines"}
    twice |= {"transfer", "facet_transfer", "shift_correlations", "stimulus_effects"}
    twice |= {"steered_spans", "facet_selectivity", "tuning_shift", "tuning_unrequested"}
    more = len(twice) + len(("maps", "layers", "pairs")) - 1  # of steering_effects
    assert sum(len(section.drawings) for section in found) == len(REQUIRED) - len(without | together) + more


def test_tables_without_rows_and_unknown_tables_are_left_out(tables):
    assert built({"hexaco_facets": tables["hexaco_facets"].clear(), "choices": tables["utilities"]}) == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_column_is_named(tables, name):
    column = REQUIRED[name][-1]
    with pytest.raises(DataError, match=f"Table '{name}' has no column '{column}'"):
        built({name: tables[name].drop(column)})


def test_several_models_give_a_block_each_then_what_is_of_no_model_then_the_comparison(tables):
    own = ["profile", "contrasts", "answers", "bias", "wordings", "asking", "just-helpful", "short-form"]
    shared = [
        "preferences",
        "trust",
        "written-choices",
        "persona-space",
        "probes",
        "controls",
        "layers",
        "facets",
        "transfer",
        "whose-preference",
        "facet-transfer",
        "directions",
        "steering",
        "induced-shifts",
        "stimuli",
        "steered-choices",
        "usable-range",
        "steered-writing",
        "steered-spans",
        "isolated-steering",
        "cross-steering",
        "necessity",
        "patching",
        "responder",
        "reader-states",
        "reader-writes",
        "facet-steering",
        "taught",
        "toward-ideal",
        "ideal-drift",
        "toward-whom",
        "tuning-elsewhere",
        "tuning-damage",
        "tuning-shift",
        "unrequested",
        "steered-or-tuned",
        "planted",
        "interviews",
    ]
    found = built(of_two_models(tables))
    assert [section.id for section in found] == [
        *(f"{name}-m1" for name in own),
        *(f"{name}-m2" for name in own),
        *shared,
        "cross-model",
        "models",
    ]
    ids = [section.id for section in found]
    ids += [drawing.id for section in found for drawing in section.drawings]
    ids += [selector.id for section in found for selector in section.selectors]
    assert len(ids) == len(set(ids))
    headings = {section.id: section.heading for section in found}
    assert headings["bias-m1"] == "Bias apart: big_model"
    assert headings["bias-m2"] == "Bias apart: small-model"
    assert headings["steering"] == "Does it cause it"


def test_a_model_s_block_is_what_its_tables_alone_give(tables):
    first, second = tables["hexaco_bias"], tables["hexaco_bias"].with_columns(flag=pl.lit(None, pl.String))
    both = pl.concat([frame.with_columns(model=pl.lit(name)) for name, frame in (("a", first), ("b", second))])
    for block, frame in zip(built({"hexaco_bias": both}), (first, second), strict=True):
        (alone,) = built({"hexaco_bias": frame})
        assert block.paragraphs == alone.paragraphs
        assert drawn(block) == drawn(alone)


def test_one_model_gives_the_page_of_no_model_column(tables):
    tables = {
        name: frame for name, frame in tables.items() if name != "cross_model"
    }  # there models are what is compared
    named = {name: frame.with_columns(model=pl.lit("only")) for name, frame in tables.items()}
    for one, other in zip(built(named), built(tables), strict=True):
        assert (one.id, one.heading, one.paragraphs) == (other.id, other.heading, other.paragraphs)
        assert drawn(one) == drawn(other)


def test_rows_without_a_model_name_make_no_model(tables):
    frame = tables["hexaco_bias"]
    models = pl.concat([frame.with_columns(model=pl.lit(name, pl.String)) for name in ("a", None, "b")])
    assert [section.heading for section in built({"hexaco_bias": models})] == ["Bias apart: a", "Bias apart: b"]


def test_a_model_that_lacks_rows_lacks_the_section(tables):
    two = {name: frame for name, frame in of_two_models(tables).items() if "just_helpful" in name}
    two[SUPPORT] = two[SUPPORT].filter(pl.col("model") == "big_model")
    assert [len(section.drawings) for section in built(two)] == [1, 0]


def test_every_figure_of_a_persona_has_the_same_colour_on_the_whole_page(whole):
    seen = {}
    by_direction = {outline.id for outline in STEERING}  # there colours tell the probe from random directions
    for section in (section for section in whole if section.id not in by_direction):
        for drawing in section.drawings:
            for trace in drawing.figure.data:
                persona = (trace.meta or {}).get("persona")
                colour = trace.marker.color if trace.type == "scatter" and trace.error_x.array is not None else None
                if persona and isinstance(colour, str):
                    seen.setdefault(persona, set()).add(colour)
    assert {persona: len(colours) for persona, colours in seen.items()} == dict.fromkeys(HEXACO, 1)


def test_personas_of_all_tables_are_known_and_directions_of_a_sweep_are_not_personas(tables):
    assert set(personas(tables)) == {*HEXACO, *CHOOSERS, "all"}


def test_selectors_are_those_the_section_can_obey(whole):
    keys = {section.id: [selector.key for selector in section.selectors] for section in whole}
    assert keys == {
        "profile": ["persona"],
        "contrasts": [],
        "answers": ["persona"],
        "bias": [],
        "wordings": [],
        "asking": [],
        "just-helpful": [],
        "short-form": [],
        "preferences": ["persona"],
        "trust": [],
        "written-choices": [],
        "persona-space": [],
        "probes": ["target", "persona", "position"],
        "controls": ["layer"],
        "layers": [],
        "facets": ["layer"],
        "transfer": ["layer"],
        "whose-preference": ["layer"],
        "facet-transfer": ["layer"],
        "directions": ["layer"],
        "steering": ["target", "layer"],
        "induced-shifts": ["layer"],
        "stimuli": ["layer"],
        "steered-choices": ["target", "pair_type", "layer", "coefficient"],
        "usable-range": ["layer"],
        "steered-writing": ["rubric", "asked", "layer"],
        "steered-spans": ["layer"],
        "isolated-steering": ["layer"],
        "cross-steering": ["target", "persona", "layer", "coefficient"],
        "necessity": ["layers"],
        "patching": ["position"],
        "responder": [],
        "reader-states": ["layer"],
        "reader-writes": [],
        "facet-steering": ["facet", "layer"],
        "taught": [],
        "toward-ideal": ["run"],
        "ideal-drift": ["run"],
        "toward-whom": [],
        "tuning-elsewhere": [],
        "tuning-damage": [],
        "tuning-shift": ["layer"],
        "unrequested": [],
        "steered-or-tuned": [],
        "planted": [],
        "interviews": [],
        "cross-model": [],
        "models": [],
    }


def test_a_selector_starts_on_what_is_visible(whole):
    for section in whole:
        for selector in section.selectors:
            assert selector.initial in dict(selector.options)
            for drawing in section.drawings:
                for trace in drawing.figure.data:
                    if trace.meta and selector.key in trace.meta and trace.visible is not False:
                        assert selector.initial in (ALL, str(trace.meta[selector.key]))


def test_layers_are_offered_in_order_and_personas_by_readable_name(whole):
    found = {selector.id: selector for section in whole for selector in section.selectors}
    assert [value for value, _ in found["transfer-layer"].options] == [str(layer) for layer in LAYERS]
    assert found["profile-persona"].options[:2] == ((ALL, "All personas"), ("self", "Self"))
    assert found["answers-persona"].initial == "self"


def test_one_value_needs_no_selector(tables):
    one = tables["transfer"].filter(layer=6)
    assert built({"transfer": one})[0].selectors == ()
