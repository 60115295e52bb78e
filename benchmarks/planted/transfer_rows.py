"""Do personas share it: transfer, whose preferences a probe follows, and what identity would feign."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl

from benchmarks.planted import streams as ways
from benchmarks.planted.asking import ORDER_BIAS, PLACE, Answers, chosen, task_features, usual, usual_streams
from benchmarks.planted.held import between, every, near
from benchmarks.planted.persona_respondent import Chooser
from benchmarks.planted.personas import PERSONAS, agreeing_utilities, planted_tasks
from benchmarks.planted.preference_rows import fitted
from benchmarks.records import Record
from personascope.experiments.preferences import reliabilities
from personascope.experiments.rows import Rows
from personascope.probes.diversity import diversity_ablation
from personascope.probes.evaluate import fit_direction_weights
from personascope.probes.geometry import cosine_with_null, persona_identity_directions
from personascope.probes.matched_choices import matched_choices
from personascope.probes.probe_bias import probe_bias
from personascope.probes.transfer import TransferMatrix, transfer_matrix
from personascope.probes.transfer_summaries import asymmetry, weight_cosines

N_TASKS, N_TRAINED = 240, 180
ELSEWHERE = ~np.eye(len(PERSONAS), dtype=bool)
NOISE_SD = 3.0
"""Of single logits, where utilities are to have errors."""


def rows() -> list[Record]:
    """All figures that compare personas."""
    return [*shared(), *private(), *copied(), *unreliable(), *identity(), *diversity()]


def matrix(stream: dict[str, Rows], answers: Answers | None = None) -> TransferMatrix:
    """Of all personas."""
    tables = (usual() if answers is None else answers).tables
    layer, position = PLACE
    return transfer_matrix(
        {name: own.features for name, own in stream.items()},
        {name: own.target for name, own in stream.items()},
        stream[PERSONAS[0]].groups,
        layer=layer,
        position=position,
        reliabilities=reliabilities(tables),
        n_resamples=500,
    )


@cache
def of(name: str) -> tuple[dict[str, Rows], TransferMatrix]:
    """Rows and matrix of one version."""
    rows = task_features(usual_streams()[name], usual())
    return rows, matrix(rows)


def partials(found: TransferMatrix) -> pl.DataFrame:
    """What a probe keeps of the persona it was trained on, beyond the one it reads."""
    return probe_bias(found).filter((pl.col("kind") == "partial") & (pl.col("third") == pl.col("train")))


def shared() -> list[Record]:
    """One direction, each persona's own utility along it."""
    _, found = of("shared")
    diagonal, others = np.diag(found.r), found.r[ELSEWHERE]
    least, most = ways.fitted_r(ways.GAIN**2, N_TRAINED), ways.ceiling(ways.GAIN**2)
    error = (1 - least**2) / N_TASKS**0.5
    apart = ELSEWHERE & (found.utility_r < 0.5)
    kept = partials(found)["r"].to_numpy()
    gaps = asymmetry(found)
    angles = weight_cosines(found)
    return [
        between("transfer, shared: within personas", diagonal, least - 3 * error, most + 3 * error, "as probes", most),
        near("transfer, shared: to others, minus within", others.mean() - diagonal.mean(), 0.0, 0.03, "3 SE"),
        every("transfer, shared: above the utilities' r", found.difference_low[apart] > 0, "where that is below .5"),
        near("transfer, shared: asymmetry", gaps["gap"].to_numpy(), 0.0, 0.03, "3 SE"),
        near("probe bias, shared: r with the trained, given the tested", kept, 0.0, 0.1, "follows whom it reads"),
        every(
            "probe weights, shared: cosines beyond chance",
            (angles["cosine"] > angles["null_high"]).to_list(),
            "20 pairs",
        ),
    ]


def private() -> list[Record]:
    """Directions of their own."""
    _, found = of("private")
    least, most = ways.fitted_r(ways.GAIN**2, N_TRAINED), ways.ceiling(ways.GAIN**2)
    angles = weight_cosines(found)
    inside = (angles["cosine"].abs() < 3 / 8).to_list()
    note = "3 SE of 20 cells of sd .2, as errors of weights meet large variance"
    return [
        between("transfer, private: within personas", np.diag(found.r), least - 0.03, most + 0.03, "as probes", most),
        near("transfer, private: to others", found.r[ELSEWHERE], 0.0, 0.15, note),
        every("probe weights, private: cosines as by chance", inside, "below 3 / sqrt(d)"),
    ]


def copied() -> list[Record]:
    """The assistant's utilities whoever is asked: transfer without sharing."""
    _, found = of("copied")
    difference = found.difference[0, 1:]
    holds = (found.difference_low[0, 1:] <= 0) & (found.difference_high[0, 1:] >= 0)
    kept = partials(found).filter(pl.col("train") == PERSONAS[0])["r"].to_numpy()
    own = np.abs(found.r[:, 0])
    return [
        near("transfer, copied: minus the utilities' r", difference, 0.0, 0.03, "the assistant's probe on others"),
        every("transfer, copied: interval of that holds 0", holds, "4 personas, 95 % each", 3),
        between("trap: whoever is trained on reads the assistant, |r|", own[1:3], 0.9, 1.0, "no sign of sharing"),
        between("probe bias, copied: r with the trained, given the tested", kept, 0.9, 1.0, "follows the trained", 1.0),
    ]


def unreliable() -> list[Record]:
    """A stream almost without noise under utilities with errors: what is missing to 1 is the errors'."""
    truth = agreeing_utilities(planted_tasks())
    answers = chosen(Chooser(truth, ORDER_BIAS, noise_sd=NOISE_SD, seed=21))
    known = np.array(list(reliabilities(answers.tables).values()))
    actual = np.array([np.corrcoef(a, b)[0, 1] ** 2 for a, b in zip(fitted(answers).T, truth.T, strict=True)])
    found = matrix(task_features(usual_streams()["clear"], answers), answers)
    reach = ways.fitted_r(ways.CLEAR_GAIN**2, N_TRAINED)
    agreed = found.utility_r_corrected[ELSEWHERE] - np.corrcoef(truth.T)[ELSEWHERE]
    return [
        near("errors: split-half reliability, minus squared r with truth", known - actual, 0.0, 0.05, "5 personas"),
        between("errors: r within personas, uncorrected", np.diag(found.r), 0.6, 0.93, "must be below the corrected"),
        near("errors: r within personas, corrected", np.diag(found.r_corrected), reach, 0.05, "reliability within .05"),
        near("errors: r to others, corrected", found.r_corrected[ELSEWHERE], reach, 0.06, "as within"),
        near("errors: utilities' r, corrected, minus planted", agreed, 0.0, 0.05, "20 pairs"),
    ]


def identity() -> list[Record]:
    """Who is speaking, apart from what is preferred and along the very same direction."""
    cosines, control = {}, {}
    for name in ("shared", "identity"):
        rows, found = of(name)
        everyone = np.concatenate([own.features for own in rows.values()])
        directions = persona_identity_directions({who: own.features for who, own in rows.items()})
        cosines[name] = [
            cosine_with_null(fit_direction_weights(own.features, own.target, own.groups), directions[who], everyone)
            for who, own in rows.items()
        ]
        control[name] = matched_choices(found, {who: own.features for who, own in rows.items()})
    inside = [abs(c.cosine) <= c.null_high for c in cosines["shared"]]
    # the middle one of five sits at the mean of all and has no identity direction along the evaluation
    outside = [abs(c.cosine) > c.null_high for k, c in enumerate(cosines["identity"]) if k != 2]

    def figures(name: str, direction: str, column: str) -> np.ndarray:
        return control[name].filter(pl.col("direction") == direction)[column].to_numpy()

    extremes = (
        control["identity"]
        .filter(
            (pl.col("direction") == "preference of first")
            & (pl.col("first") == PERSONAS[0])
            & (pl.col("second") == PERSONAS[-1])
        )["offset"]
        .to_numpy()
    )
    return [
        every("identity: cosine with preference within chance, apart", inside, "5 personas, 95 % each", 4),
        every("identity: cosine beyond chance, one direction", outside, "4 personas off the middle"),
        between(
            "matched choices, apart: preference follows utilities, r",
            figures("shared", "preference", "r"),
            0.8,
            1.0,
            "",
        ),
        near(
            "matched choices, apart: offset of preference",
            np.abs(figures("shared", "preference of first", "offset")),
            0.0,
            0.5,
            "in sd; 10 pairs, mean size",
        ),
        near(
            "matched choices, apart: identity follows utilities, r", figures("shared", "identity", "r"), 0.0, 0.15, ""
        ),
        between(
            "matched choices, apart: offset of identity",
            figures("shared", "identity", "offset"),
            1.5,
            9.0,
            "sqrt(2) 3 of noise about 1",
        ),
        between("trap: one direction, offset of preference", np.abs(extremes), 1.0, 9.0, "identity feigns preference"),
    ]


def diversity() -> list[Record]:
    """More personas at the same number of rows, where each adds a nuisance of its own, and where none does."""
    found, r = [], {}
    for name in ("nuisance", "shared"):
        rows, matrix = of(name)
        table = diversity_ablation(
            {who: own.features for who, own in rows.items()},
            {who: own.target for who, own in rows.items()},
            matrix.codes,
            layer=PLACE[0],
            position=PLACE[1],
            n_subsets=6,
            centre_personas=True,
            n_resamples=200,
        )
        r[name] = table.group_by("n_personas").agg(pl.col("r").mean()).sort("n_personas")["r"].to_numpy()
    for k in (1, 4):
        top = ways.diversity_r(k)
        found.append(
            between(
                f"diversity, nuisance: r of {k}",
                r["nuisance"][k - 1],
                0.5 * top,
                top + 0.05,
                "half to all of the population's, with 180 rows",
                top,
            )
        )
    rise = ways.diversity_r(4) - ways.diversity_r(1)
    return [
        *found,
        between(
            "diversity, nuisance: rise from 1 to 4",
            r["nuisance"][3] - r["nuisance"][0],
            0.4 * rise,
            1.3 * rise,
            "",
            rise,
        ),
        every("diversity, nuisance: rises at every step", np.diff(r["nuisance"]) > 0, "k = 1 to 4"),
        near(
            "diversity, shared: rise from 1 to 4", r["shared"][3] - r["shared"][0], 0.0, 0.03, "nothing to average out"
        ),
    ]
