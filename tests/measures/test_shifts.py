import numpy as np
import polars as pl
import pytest
from scipy import stats

from personascope.errors import DataError
from personascope.instruments.shifts import load_shift_design
from personascope.measures.shift_grid import SETS, grids
from personascope.measures.shift_targets import rank_summary, target_ranks, target_shifts
from personascope.measures.shifts import KNOWN, level_table, shift_correlations, shift_table

FAST = {"n_resamples": 200, "n_permutations": 200}


def made_design(n_subjects=6, per_subject=4, opposed=False):
    """Subjects loved, hated and mentioned; every task belongs to one of them."""
    rows = []
    for s in range(n_subjects):
        for word, polarity in (("love", 1), ("hate", -1), ("mention", 0)):
            for t in range(n_subjects * per_subject):
                on = t // per_subject == s
                role = "opposed" if opposed and on and t % per_subject == 0 else "target" if on else "off"
                rows.append(
                    {
                        "design": "made",
                        "condition": f"s{s}-{word}",
                        "subject": f"s{s}",
                        "polarity": polarity,
                        "matched": f"s{s}",
                        "task": f"t{t:02d}",
                        "role": role,
                        "sign": (polarity or 1) if role == "target" else None,
                    }
                )
    return pl.DataFrame(rows)


def made_tables(design, effect, scorers, *, seed=0, mention=0.0, noise=1.0):
    """Values with a planted shift of `effect` along the sign, `mention` on target, and task effects that all share."""
    rng = np.random.default_rng(seed)
    tasks = design["task"].unique(maintain_order=True).to_list()
    plain = dict(zip(tasks, rng.normal(size=len(tasks)) * 5, strict=True))
    sign = design["sign"].fill_null(0).to_numpy() * (design["polarity"].to_numpy() != 0)
    on = (design["role"] == "target").to_numpy()
    common = effect * sign + mention * on
    shift = common + noise * rng.normal(size=design.height)
    base = np.array([plain[task] for task in design["task"]])
    choice = design.select("condition", "task").with_columns(choice=pl.Series(base + shift))
    baseline = pl.DataFrame({"condition": ["baseline"] * len(tasks), "task": tasks, "choice": list(plain.values())})
    scores = []
    for scorer, weight in scorers.items():
        values = 3 + base + weight * shift + noise * rng.normal(size=design.height)
        own = design.select(pl.lit(scorer).alias("scorer"), "condition", "task").with_columns(score=pl.Series(values))
        zero = baseline.select(pl.lit(scorer).alias("scorer"), "condition", "task", score=pl.col("choice") + 3)
        scores += [own, zero]
    return pl.concat([choice, baseline]), pl.concat(scores)


def made(effect=2.0, scorers=None, opposed=False, **how):
    design = made_design(opposed=opposed)
    return shift_table(*made_tables(design, effect, scorers or {"probe": 1.0, "random": 0.0}, **how), design)


def cell(frame, **where):
    found = frame.filter([pl.col(name) == value for name, value in where.items()])
    assert found.height == 1, where
    return found.row(0, named=True)


def test_a_shift_is_the_value_minus_that_of_the_baseline():
    design = made_design(2, 2)
    choice, score = made_tables(design, 1.0, {"probe": 1.0, "encoder": 0.5})
    table = shift_table(choice, score, design)
    assert table.height == 2 * design.height
    for row in table.sample(20, seed=1).iter_rows(named=True):
        for name, frame in (("choice", choice), ("score", score.filter(pl.col("scorer") == row["scorer"]))):
            value, plain = (cell(frame, condition=c, task=row["task"])[name] for c in (row["condition"], "baseline"))
            assert row[f"{name}_shift"] == value - plain


def test_levels_are_the_values_themselves_beside_the_choices_without_the_prompt():
    design = made_design()
    choice, score = made_tables(design, 2.0, {"probe": 1.0})
    table = level_table(choice, score, design)
    probe, known = (table.filter(pl.col("scorer") == name) for name in ("probe", KNOWN))
    own = probe.join(choice, on=["condition", "task"]).join(score, on=["scorer", "condition", "task"])
    assert own["choice_shift"].equals(own["choice"], check_names=False)
    assert own["score_shift"].equals(own["score"], check_names=False)
    plain = choice.filter(pl.col("condition") == "baseline").select("task", plain="choice")
    assert known.join(plain, on="task").select((pl.col("score_shift") == pl.col("plain")).all()).item()
    found = shift_correlations(table, against=KNOWN, **FAST)
    on_target = cell(found, scorer="probe", cells="on_target", statistic="pearson")
    active = own.filter((pl.col("role") == "target") & (pl.col("polarity") != 0))
    assert on_target["value"] == pytest.approx(np.corrcoef(active["choice"], active["score"])[0, 1])
    assert on_target["difference"] == pytest.approx(
        on_target["value"] - cell(found, scorer=KNOWN, cells="on_target", statistic="pearson")["value"]
    )


def test_holes_and_repetitions_are_named():
    design = made_design(2, 2)
    choice, score = made_tables(design, 1.0, {"probe": 1.0})
    with pytest.raises(DataError, match="no choice for condition 'baseline', task 't00'"):
        shift_table(choice.filter(pl.col("condition") != "baseline"), score, design)
    with pytest.raises(DataError, match=r"no score for condition 's1-love', task 't03', scorer 'probe' .1 of 24"):
        shift_table(choice, score.filter((pl.col("condition") != "s1-love") | (pl.col("task") != "t03")), design)
    with pytest.raises(DataError, match="occurs more than once"):
        shift_table(pl.concat([choice, choice[:1]]), score, design)
    table = shift_table(choice, score, design)
    with pytest.raises(DataError, match="has 23 cells, not 1 x 6 x 4"):
        shift_correlations(table[1:], **FAST)


@pytest.mark.parametrize("opposed", [False, True])
def test_statistics_are_those_of_scipy_without_the_controls(opposed):
    table = made(opposed=opposed)
    frame = shift_correlations(table.sample(fraction=1, shuffle=True, seed=3), **FAST)
    roles = {
        "all": ["target", "off", "opposed"],
        "on_target": ["target"],
        "off_target": ["off"],
        "opposed": ["opposed"],
    }
    assert set(frame["cells"]) == set(SETS) - (set() if opposed else {"opposed"})
    for cells in frame["cells"].unique():
        for scorer in ("probe", "random"):
            part = table.filter(pl.col("role").is_in(roles[cells]), pl.col("polarity") != 0, pl.col("scorer") == scorer)
            x, y = part["choice_shift"].to_numpy(), part["score_shift"].to_numpy()
            found = {row["statistic"]: row for row in frame.filter(cells=cells, scorer=scorer).iter_rows(named=True)}
            assert found["pearson"]["value"] == pytest.approx(stats.pearsonr(x, y).statistic)
            assert found["spearman"]["value"] == pytest.approx(stats.spearmanr(x, y).statistic)
            assert found["sign_agreement"]["value"] == pytest.approx((np.sign(x) == np.sign(y)).mean())
            assert {row["n"] for row in found.values()} == {part.height}
            assert {row["n_conditions"] for row in found.values()} == {12}
            assert {row["n_clusters"] for row in found.values()} == {6}


def test_cells_that_hardly_moved_are_left_out_of_the_sign_agreement_only():
    table = made()
    part = table.filter(pl.col("polarity") != 0, pl.col("scorer") == "probe")
    far = part.filter(pl.col("choice_shift").abs() > 1)
    frame = shift_correlations(table, smallest=1.0, **FAST)
    found = cell(frame, scorer="probe", cells="all", statistic="sign_agreement")
    assert (found["n"], found["value"]) == (
        far.height,
        pytest.approx((far["choice_shift"].sign() == far["score_shift"].sign()).mean()),
    )
    assert cell(frame, scorer="probe", cells="all", statistic="pearson")["n"] == part.height


def test_a_scorer_that_follows_is_told_from_one_that_does_not():
    frame = shift_correlations(made(noise=1.0), against="random", **FAST)
    probe, random = (cell(frame, scorer=s, cells="all", statistic="pearson") for s in ("probe", "random"))
    assert probe["low"] > 0.4 and probe["p"] < 0.02 and probe["p_within"] < 0.07  # 2 of 64 swaps
    assert random["low"] < 0 < random["high"] and random["p"] > 0.02
    assert probe["difference"] == pytest.approx(probe["value"] - random["value"])
    assert probe["difference_low"] > 0 and random["difference"] is None
    with pytest.raises(DataError, match=r"no scorer 'randm' .* Did you mean 'random'"):
        shift_correlations(made(), against="randm", **FAST)


def test_a_score_that_only_sees_the_mention_fails_within_subjects():
    """The score rises on target whatever is said; choices do so a little, and follow the valence."""
    design = made_design()
    choice, score = made_tables(design, 1.0, {"lexical": 0.0}, mention=2.0, noise=0.3)
    on = (pl.col("role") == "target").cast(pl.Float64)
    score = score.join(design, on=["condition", "task"], how="left").select(
        "scorer", "condition", "task", score=pl.col("score") + 2 * on.fill_null(0)
    )
    found = cell(
        shift_correlations(shift_table(choice, score, design), **FAST),
        scorer="lexical",
        cells="all",
        statistic="pearson",
    )
    assert found["value"] > 0.5 and found["p"] < 0.02
    assert found["p_within"] > 0.05


def naive_bootstrap(table, n, seed):
    """Pearson's r of explicitly repeated cells, clusters of subjects and tasks drawn each on its own."""
    part = table.filter(pl.col("polarity") != 0, pl.col("scorer") == "probe")
    subjects, tasks = (part[name].unique(maintain_order=True).to_list() for name in ("subject", "task"))
    values = {
        (s, t): part.filter(subject=s, task=t).select("choice_shift", "score_shift").to_numpy()
        for s in subjects
        for t in tasks
    }
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        again = rng.choice(tasks, len(tasks))
        drawn = [values[s, t] for s in rng.choice(subjects, len(subjects)) for t in again]
        found.append(np.corrcoef(np.concatenate(drawn).T)[0, 1])
    return np.percentile(found, [2.5, 97.5])


def test_the_interval_is_that_of_a_naive_two_way_bootstrap():
    table = made(effect=1.0, noise=1.0)
    low, high = naive_bootstrap(table, 600, 5)
    found = cell(
        shift_correlations(table, n_resamples=2_000, n_permutations=20),
        scorer="probe",
        cells="all",
        statistic="pearson",
    )
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))


def test_two_way_intervals_are_wider_than_those_over_conditions_alone():
    table = made(effect=0.5)
    grid = next(grids(table, "subject"))
    of_conditions, of_tasks = grid.draw(50, 0)
    assert (of_tasks.sum(axis=1) == len(grid.tasks)).all()
    for rows in of_conditions:
        for code in np.unique(grid.clusters):
            assert len(set(rows[grid.clusters == code])) == 1


def test_permutations_move_whole_conditions_and_within_stay_at_their_subject():
    grid = next(grids(made(), "subject"))
    for within in (False, True):
        orders = grid.permutations(300, 0, within)
        assert (np.sort(orders, axis=1) == np.arange(len(grid.subject))).all()
        stays = (grid.subject[orders] == grid.subject).all()
        assert stays == within
        assert len({tuple(order) for order in orders}) > 250


def test_p_is_uniform_without_an_effect():
    """Shared task effects and no tie between conditions: one in ten p values lies below .1."""
    design, found = made_design(4, 3), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        choice, score = made_tables(design, 0.0, {"probe": 0.0}, seed=seed)
        common = dict(zip(sorted(set(design["task"])), 3 * rng.normal(size=12), strict=True))
        lift = pl.when(pl.col("condition") != "baseline").then(pl.col("task").replace_strict(common)).otherwise(0)
        table = shift_table(
            choice.with_columns(choice=pl.col("choice") + lift),
            score.with_columns(score=pl.col("score") + lift),
            design,
        )
        frame = shift_correlations(table, n_resamples=10, n_permutations=99)
        row = cell(frame, cells="all", statistic="pearson")
        assert row["value"] > 0.4 and row["null_mean"] == pytest.approx(row["value"], abs=0.25)
        found.append(row["p"])
    assert 1 <= sum(p <= 0.1 for p in found) <= 10


def test_a_score_that_does_not_move_has_no_correlation():
    design = made_design()
    choice, score = made_tables(design, 1.0, {"flat": 0.0})
    flat = score.join(score.filter(pl.col("condition") == "baseline").select("task", plain="score"), on="task").select(
        "scorer", "condition", "task", score=pl.col("plain") + 0.1
    )
    flat = flat.with_columns(score=pl.when(pl.col("condition") == "baseline").then("score").otherwise(pl.col("score")))
    frame = shift_correlations(shift_table(choice, flat, design), **FAST)
    correlations = frame.filter(pl.col("statistic") != "sign_agreement")
    assert correlations.select("value", "low", "high", "p", "null_mean", "p_within").null_count().row(0) == (6,) * 6


def test_conditions_that_stand_alone_have_no_permutation_within():
    design = made_design().filter(pl.col("polarity") == 1)
    frame = shift_correlations(shift_table(*made_tables(design, 1.0, {"probe": 1.0}), design), **FAST)
    assert frame["p_within"].is_null().all() and frame["p"].is_not_null().all()


def test_the_manipulation_check_finds_what_was_planted():
    table = made(effect=2.0, mention=1.0, noise=0.5, scorers={"probe": 0.5})
    frame = target_shifts(table, n_resamples=500)
    expected = {
        "directed": 2.0,
        "toward": 3.0,
        "away": -1.0,
        "mention": 1.0,
        "toward - mention": 2.0,
        "mention - away": 2.0,
    }
    for contrast, value in expected.items():
        for measure, weight in (("choice", 1.0), ("probe", 0.5)):
            row = cell(frame, measure=measure, contrast=contrast)
            assert row["mean"] == pytest.approx(weight * value, abs=0.35)
            assert row["low"] < row["mean"] < row["high"]
            assert row["low"] < weight * value < row["high"] or abs(row["mean"] - weight * value) < 0.2
    directed = cell(frame, measure="choice", contrast="directed")
    part = table.filter(pl.col("role") == "target", pl.col("polarity") != 0)
    assert directed["mean"] == pytest.approx((part["sign"] * part["choice_shift"]).mean())
    assert (directed["n"], directed["n_conditions"], directed["n_clusters"], directed["n_tasks"]) == (48, 12, 6, 24)
    assert directed["p"] == 2 / 2**6
    spread = table.filter(pl.col("polarity") != 0)["choice_shift"].to_numpy().std()
    assert directed["standardised"] == pytest.approx(directed["mean"] / spread)
    assert frame.filter(pl.col("contrast") != "directed")["p"].is_null().all()


def test_without_an_effect_the_check_says_so():
    row = cell(target_shifts(made(effect=0.0, mention=1.0)), measure="choice", contrast="directed")
    assert row["low"] < 0 < row["high"] and row["p"] > 0.03


def test_a_design_without_controls_has_null_mentions():
    design = made_design().filter(pl.col("polarity") != 0)
    frame = target_shifts(shift_table(*made_tables(design, 1.0, {"probe": 1.0}), design), n_resamples=50)
    lacking = frame.filter(pl.col("contrast").str.contains("mention"))
    assert lacking["mean"].is_null().all() and lacking["low"].is_null().all()


def biography_table(effect, scorers, seed=0):
    design = load_shift_design("biography").frame()
    return shift_table(*made_tables(design, effect, scorers, seed=seed, noise=0.3), design)


def test_ranks_are_those_of_a_naive_count():
    table = biography_table(0.4, {"probe": 1.0})
    ranks = target_ranks(table)
    assert ranks.height == 2 * 40
    for row in ranks.sample(15, seed=0).iter_rows(named=True):
        shift = "choice_shift" if row["measure"] == "choice" else "score_shift"
        part = table.filter(pl.col("matched") == row["matched"])
        values = {sign: dict(part.filter(polarity=sign).select("task", shift).iter_rows()) for sign in (1, -1)}
        gain = {task: values[1][task] - values[-1][task] for task in values[1]}
        assert row["rank"] == 1 + sum(value > gain[row["subject"]] for value in gain.values())
        assert row["difference"] == pytest.approx(gain[row["subject"]]) and row["n_tasks"] == 50


def test_a_strong_preference_comes_first_and_none_at_chance():
    summary = rank_summary(biography_table(5.0, {"probe": 1.0, "random": 0.0}))
    for measure in ("choice", "probe"):
        row = cell(summary, measure=measure)
        assert (row["first"], row["n"], row["n_subjects"], row["share"], row["mean_rank"]) == (40, 40, 20, 1.0, 1.0)
        assert row["low"] == pytest.approx(20 / (20 + 1.959964**2)) and row["null_first"] == 0
        assert row["chance"] == 1 / 50
    assert cell(summary, measure="random")["first"] <= 4


def test_a_task_that_every_prompt_lifts_shows_in_the_null():
    """All scores of one target rise with every loving prompt: it is first for its own biography by no merit."""
    table = biography_table(0.0, {"probe": 0.0})
    favourite = table["subject"][0]
    lifted = (pl.col("task") == favourite) * pl.col("polarity") * 100.0
    summary = rank_summary(table.with_columns(score_shift=pl.col("score_shift") + lifted))
    row = cell(summary, measure="probe")
    assert row["first"] == 2 and row["share"] == 0.05 > row["chance"]
    assert row["null_first"] == pytest.approx(38 / (40 * 19))


def test_a_score_that_never_moves_ranks_last():
    table = biography_table(0.0, {"probe": 0.0}).with_columns(score_shift=pl.lit(0.0))
    assert set(target_ranks(table).filter(measure="probe")["rank"]) == {50}


def test_designs_of_many_targets_have_no_rank():
    with pytest.raises(DataError, match=r"Matched group 's0' .* 4 targets"):
        target_ranks(made())


def test_designs_are_kept_apart():
    one = made()
    both = pl.concat([one, one.with_columns(design=pl.lit("again"), choice_shift=-pl.col("choice_shift"))])
    frame = shift_correlations(both, **FAST)
    first, second = (
        cell(frame, design=d, scorer="probe", cells="all", statistic="pearson")["value"] for d in ("made", "again")
    )
    assert first == pytest.approx(-second)


def test_the_built_in_designs_go_through():
    for name in ("targeted", "opposing"):
        design = load_shift_design(name).frame()
        table = shift_table(*made_tables(design, 1.0, {"probe": 1.0}), design)
        frame = shift_correlations(table, n_resamples=20, n_permutations=20)
        assert frame["value"].is_not_null().all()
        assert cell(target_shifts(table, n_resamples=20), measure="choice", contrast="directed")["mean"] > 0.5
