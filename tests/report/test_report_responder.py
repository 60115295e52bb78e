"""What is said and drawn of a model that reads interviews."""

import polars as pl
from responder_tables import responder_tables

from personascope.report import figures_responder as drawn
from personascope.report import sentences_responder as spoken
from personascope.report.theme import SERIES

TABLES = responder_tables()


def test_the_epoch_that_was_kept_is_said():
    (text,) = spoken.training(TABLES["responder_training"])
    assert "1600 answers of 200 people" in text
    assert "2.50 before, 1.45 after epoch 2, which was kept" in text


def test_a_gain_is_said_with_its_interval_and_what_follows_from_it():
    known, verdict, new, other = spoken.errors(TABLES["responder_errors"])
    assert "(2.10 bits an answer) after 20 questions: language model, trained 0.10 [0.070, 0.13]" in known
    assert verdict.startswith("The trained model beats the marginals")
    assert new.startswith("Items new: ")
    assert other.startswith("The trained model is not told from the marginals")
    worse = TABLES["responder_errors"].with_columns(gain_low=pl.lit(-0.5), gain_high=pl.lit(-0.4))
    assert "is worse than the marginals" in spoken.errors(worse)[1]


def test_calibration_and_probes_are_compared():
    (text,) = spoken.calibration(TABLES["responder_calibration"])
    assert text.endswith("item marginals 0.010 and language model, trained 0.050.")
    untrained, trained = spoken.probes(TABLES["responder_probes"])
    assert "none of the 2 targets" in untrained or "0 of" in untrained
    assert "both targets are read above the 95th percentile" in trained or "2 of 2" in trained
    assert "2 of 2 beyond what the answers give" in trained


def test_who_knows_people_again_is_said_beside_a_guess():
    bits, first = spoken.people(TABLES["responder_people"])
    assert bits.startswith("log2 posterior of the true person among 32, a guess being −5.00: noisy twins −0.10")
    assert bits.index("language model, trained") < bits.index("the answers alone") < bits.index("people shuffled")
    assert "language model, trained 0.40" in first


def test_people_who_are_made_up_are_said_beside_as_many_people():
    means, correlations, spread, copies = spoken.synthetic(TABLES["responder_synthetic"])
    assert "24 of each kind are off by: as many people 0.21 [0.15, 1.20], language model, trained 0.40, graded" in means
    assert "real ones, by: as many people 1.00" in spread and "all 8 items" in copies and "off by" in correlations


def test_new_questions_are_said_with_what_became_of_such_expectations():
    written, best, borne_out = spoken.novel(TABLES["responder_novel"])
    assert written.startswith("Asked 8 times, the model wrote 21 lines. Left out because nobody could rate them of")
    assert written.endswith("themselves: 2; as near copies: 17.")
    assert "“I enjoy fixing old clocks.” is expected to tell most, 0.060 [0.040, 0.090] bits about 4 held-out" in best
    assert borne_out.startswith(
        "Of 2 items that people have answered it expects 0.060 bits on average; their answers took"
    )
    assert "0.050 bits off" in borne_out
    bank = TABLES["responder_novel"].filter(kind="of the bank")
    assert len(spoken.novel(bank)) == 2


def test_figures_hold_every_predictor_state_and_layer():
    figure = drawn.errors(TABLES)
    assert sorted(trace.name for trace in figure.data if trace.showlegend) == [
        "Item marginals",
        "Language model, trained",
        "Language model, untrained",
    ]
    assert len(figure.data) == 2 * 3 * 2
    assert len(drawn.calibration(TABLES).data) == 1 + 2 * 2
    people = drawn.people(TABLES)
    assert [len(trace.x) for trace in people.data] == [1] * 10  # five readers, two measures
    assert [len(trace.x) for trace in drawn.synthetic(TABLES).data] == [1] * 20  # four sources, five measures
    questions = drawn.novel(TABLES)
    assert {trace.marker.color for trace in questions.data if len(trace.x)} == set(SERIES[:2])
    probes = drawn.probes(TABLES)
    assert len(probes.data) == 3 * 5
    assert {trace.meta["layer"] for trace in probes.data if trace.visible} == {16}
