import dataclasses

import pytest

from personascope.errors import DataError
from personascope.probes.controls import Controls
from personascope.probes.results import ProbeResult, results_frame

CONTROLS = Controls(0.0, 0.1, 0.05, 0.11, 0.22, 0.15, 0.25, 0.3, 0.35, 19, 20)
RESULT = ProbeResult(
    target="utility",
    kind="ridge",
    persona="evil",
    position="eot",
    layer=7,
    metric="r",
    value=0.6,
    low=0.5,
    high=0.7,
    n=240,
    n_groups=24,
    penalty=100.0,
    within_group=None,
    controls=CONTROLS,
    over_text_low=0.2,
    over_text_high=0.3,
)
PLACE = ["target", "persona", "position", "layer", "metric"]
NUMBERS = ["value", "low", "high", "n", "shuffled", "shuffled_high", "p_value", "random_direction"]
MATCHED = ["random_direction_high", "matched_direction", "matched_direction_high"]
TEXTS = ["text_baseline", "encoder_baseline", "over_text", "over_text_low", "over_text_high"]
COLUMNS = [*PLACE, *NUMBERS, *MATCHED, *TEXTS, "within_group", "penalty"]


def test_a_result_without_controls_cannot_be_constructed():
    fields = {f.name: getattr(RESULT, f.name) for f in dataclasses.fields(RESULT) if f.name != "controls"}
    with pytest.raises(TypeError, match="controls"):
        ProbeResult(**fields)


def test_nothing_but_controls_will_do(unchecked_annotations):
    with pytest.raises(DataError, match="'utility' at layer 7 has no controls"):
        dataclasses.replace(RESULT, controls=None)


@pytest.mark.parametrize("name", ["value", "low", "high", "penalty", "over_text_low", "over_text_high"])
def test_an_undefined_number_is_refused_by_name(name):
    with pytest.raises(DataError, match=f"{name} not finite"):
        dataclasses.replace(RESULT, **{name: float("nan")})


def test_the_frame_has_one_row_with_the_controls_beside_the_value():
    frame = RESULT.frame()
    assert frame.columns == COLUMNS
    row = frame.row(0, named=True)
    assert (row["value"], row["shuffled_high"], row["text_baseline"], row["within_group"]) == (0.6, 0.1, 0.3, None)
    assert row["layer"] == 7
    assert (row["matched_direction"], row["matched_direction_high"], row["encoder_baseline"]) == (0.15, 0.25, 0.35)
    assert (row["over_text"], row["over_text_low"], row["over_text_high"]) == (pytest.approx(0.25), 0.2, 0.3)


def test_without_an_encoder_or_an_interval_the_words_alone_are_compared():
    controls = dataclasses.replace(CONTROLS, encoder_baseline=None)
    row = (
        dataclasses.replace(RESULT, controls=controls, over_text_low=None, over_text_high=None)
        .frame()
        .row(0, named=True)
    )
    assert (row["encoder_baseline"], row["over_text_low"], row["over_text_high"]) == (None, None, None)
    assert row["over_text"] == pytest.approx(0.3)


def test_results_stack_and_no_results_keep_their_columns():
    other = dataclasses.replace(RESULT, layer=8, within_group=0.4)
    assert results_frame([RESULT, other])["within_group"].to_list() == [None, 0.4]
    assert results_frame([]).schema == RESULT.frame().schema
