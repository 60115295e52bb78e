"""Where preferences are planted in the stream, and how well they can be read, against where and how well they are."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.planted import streams as ways
from benchmarks.planted.asking import PLACE, material, read, recipe, task_features, usual, usual_streams
from benchmarks.planted.held import between, every, near
from benchmarks.planted.persona_respondent import BAND, EVALUATED, EVALUATION, LOUD, content, noise_sd
from benchmarks.planted.personas import PERSONAS, agreeing_utilities, planted_tasks
from benchmarks.records import Record
from personascope.experiments.elicitation import TASKS
from personascope.experiments.probing import probe_tables
from personascope.probes.evaluate import evaluate_ridge
from personascope.probes.removal import remove_directions
from personascope.probes.results import ProbeResult

TWO = PERSONAS[:2]
N_TASKS, N_TRAINED = 240, 180


def rows() -> list[Record]:
    """All figures of probes of one persona's preferences."""
    return [*where(), *random_directions(), *removals()]


def where() -> list[Record]:
    """The study's own table of probes, at all layers and positions, of two personas."""
    asked = material(TWO)
    mine = {
        name: table.filter(pl.col("persona").is_in(TWO)) for name, table in usual().tables.items() if "persona" in table
    }
    found = probe_tables(
        {TASKS: read(usual_streams()["shared"], everywhere=True)}, mine, asked, recipe(TWO), lambda *_: None
    )["probes"]
    planted = pl.col("layer").is_in(BAND) & (pl.col("position") == EVALUATED)
    utility, choice = (found.filter(pl.col("target") == name) for name in ("utility", "choice"))
    inside, outside = utility.filter(planted), utility.filter(~planted)
    best = utility.sort("value", descending=True).group_by("persona", maintain_order=True).head(len(BAND))
    least, most = ways.fitted_r(ways.GAIN**2, N_TRAINED), ways.ceiling(ways.GAIN**2)
    error = (1 - least**2) / N_TASKS**0.5
    right, wrong = (choice.filter(p)["value"].to_numpy() for p in (planted, ~planted))
    accuracy = [0.5 + np.arcsin(r) / np.pi for r in (least, most)]
    identity = found.filter(pl.col("target") == "persona identity")["value"].to_numpy()
    return [
        every(
            "probes: best layers and positions are the planted",
            best.select(planted).to_series().to_list(),
            "2 personas",
        ),
        between(
            "probes: r where planted",
            inside["value"].to_numpy(),
            least - 3 * error,
            most + 3 * error,
            "least squares (Browne 1975) to ceiling, 3 SE",
            most,
        ),
        between(
            "probes: r elsewhere",
            outside["value"].to_numpy(),
            -0.3,
            0.05,
            "null; means of held-out topics pull it below 0",
            0.0,
        ),
        every("probes: p at its least where planted", (inside["p_value"] < 0.05).to_list(), "20 shuffles"),
        between("probes: shuffled targets", utility["shuffled"].to_numpy(), -0.15, 0.05, "at or below 0", 0.0),
        between("probes: text baseline", utility["text_baseline"].to_numpy(), -0.3, 0.15, "words say nothing", 0.0),
        between("choices: accuracy where planted", right, accuracy[0] - 0.04, accuracy[1] + 0.04, "1/2 + arcsin(r)/pi"),
        near("choices: accuracy elsewhere", wrong, 0.5, 0.06, "null"),
        between("persona identity: accuracy, all layers", identity, 0.9, 1.0, "offsets of 3 sd are written everywhere"),
    ]


def random_directions() -> list[Record]:
    """Isotropic and covariance-matched directions, where the evaluation is quiet and where it is loudest."""
    found = []
    for name, column, gain in (("shared", EVALUATION, ways.GAIN), ("loud", LOUD, ways.LOUD_GAIN)):
        rows = task_features(usual_streams()[name], personas=PERSONAS[:1])[PERSONAS[0]]
        u = agreeing_utilities(planted_tasks())[:, 0]
        # population variance of each column, and its covariance with u, with that by chance in so many rows
        variance = noise_sd() ** 2 + (content(planted_tasks()) ** 2).mean(axis=0)
        variance[column] += gain**2
        squared = (content(planted_tasks()).T @ u / N_TASKS) ** 2 + noise_sd() ** 2 / N_TASKS
        squared[column] += gain**2
        drawn = np.random.default_rng(0).standard_normal((20_000, len(variance)))
        result = evaluated(rows.features, rows.target, rows.groups, n_directions=400).controls
        for kind, draws, value in (
            ("isotropic", drawn, result.random_direction),
            ("covariance-matched", drawn * variance**0.5, result.matched_direction),
        ):
            r = np.abs(draws @ squared**0.5) / (draws**2 @ variance) ** 0.5
            tolerance = 3 * float(r.std()) / 400**0.5 + 0.01
            note = "3 SE of 400 draws; mean |r| from the planted covariance"
            found.append(near(f"random directions, {kind}, evaluation {name}", value, float(r.mean()), tolerance, note))
        if name == "loud":
            ratio = result.matched_direction / result.random_direction
            found.append(
                between("  matched by isotropic, loud", ratio, 1.2, 9.0, "the stricter control where it is loud")
            )
    return found


def removals() -> list[Record]:
    """How many directions have to be removed: one where one is written, two where two are."""
    found = []
    left = {}
    for name in ("rank one", "rank two"):
        rows = task_features(usual_streams()[name])
        # personas together, each centred: five times the rows, so that the direction is found well
        X = np.concatenate([own.features - own.features.mean(axis=0) for own in rows.values()])
        y = np.concatenate([own.target for own in rows.values()])
        groups = np.tile(rows[PERSONAS[0]].groups, len(rows))
        left[name] = remove_directions(
            X,
            y,
            groups=groups,
            name="utility",
            persona="all",
            position=PLACE[1],
            layer=PLACE[0],
            n_steps=3,
            n_random=5,
            n_shuffles=10,
            n_resamples=200,
        )
    one, two = left["rank one"], left["rank two"]
    n = len(PERSONAS) * N_TRAINED
    top = ways.ceiling(2 * ways.SNR_EACH)
    for name, removal in left.items():
        found.append(
            between(f"removal, {name}: before", removal.r[0], ways.fitted_r(4.0, n) - 0.03, top + 0.03, "", top)
        )
    second = ways.after_one_removal()
    found += [
        near("removal, rank two: after one", two.r[1], second, 0.1, "population value"),
        between(
            "removal, rank one: after one", one.r[1], -0.2, 0.5 * second, "what the error of a direction leaves", 0.0
        ),
        between("removal, rank two: after two", two.r[2], -0.2, 0.5 * second, "as rank one after one", 0.0),
        between(
            "removal, random directions, rank one", one.random_r[:, -1] - one.r[0], -0.05, 0.02, "three removed", 0.0
        ),
    ]
    return found


def evaluated(X: np.ndarray, y: np.ndarray, groups: np.ndarray, *, n_directions: int) -> ProbeResult:
    """Ridge on one target, with no text baseline."""
    return evaluate_ridge(
        X,
        y[:, None],
        names=["utility"],
        groups=groups,
        texts_predictions=np.zeros((len(y), 1)),
        persona="planted",
        position=PLACE[1],
        layer=PLACE[0],
        n_directions=n_directions,
        n_resamples=200,
    )[0]
