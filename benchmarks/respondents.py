"""Stub respondents of known style: each turns items into label probabilities, which go through the real read-out.

A respondent is a function (items, descending) -> probabilities (item, option) of the labels in the order shown. Those
that follow content place a given agreement on the scale exactly, between two neighbouring options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from personascope.measures.likert import score_likert

Respondent = Callable[[pl.DataFrame, bool], np.ndarray]
K = 5
FACETS = [f"facet{i:02d}" for i in range(12)]
TRAITS = dict(zip(FACETS, np.linspace(-0.8, 0.8, len(FACETS)).round(3).tolist(), strict=True))


def bank(per_key: tuple[int, int] = (8, 8), *, desirable_key: float = 0.0, facets: list[str] = FACETS) -> pl.DataFrame:
    """Items with the same even spread of desirability in every facet and key, shifted by key * `desirable_key`."""
    rows = [
        {"item": f"{facet}{key:+d}_{i}", "facet": facet, "domain": "H", "key": key, "desirability": d}
        for facet in facets
        for key, n in zip((1, -1), per_key, strict=True)
        for i, d in enumerate(np.linspace(-0.5, 0.5, n) + key * desirable_key if n > 1 else [key * desirable_key] * n)
    ]
    return pl.DataFrame(rows, schema_overrides={"desirability": pl.Float64})


def placed(agreement: np.ndarray, descending: bool) -> np.ndarray:
    """Label probabilities with exactly this expected agreement, on the two options around it."""
    place = (np.asarray(agreement, dtype=float) + 1) / 2 * (K - 1)
    below = np.clip(np.floor(place).astype(int), 0, K - 2)
    p = np.zeros((len(place), K))
    p[np.arange(len(p)), below] = 1 - (place - below)
    p[np.arange(len(p)), below + 1] = place - below
    return p[:, ::-1] if descending else p


def yea_sayer(items: pl.DataFrame, descending: bool) -> np.ndarray:
    """Agrees fully with everything."""
    return placed(np.ones(len(items)), descending)


def nay_sayer(items: pl.DataFrame, descending: bool) -> np.ndarray:
    """Disagrees fully with everything."""
    return placed(-np.ones(len(items)), descending)


def mid_point(items: pl.DataFrame, descending: bool) -> np.ndarray:
    """Neither agrees nor disagrees."""
    return placed(np.zeros(len(items)), descending)


def even(items: pl.DataFrame, descending: bool) -> np.ndarray:  # noqa: ARG001 (part of the protocol)
    """No preference for any label."""
    return np.full((len(items), K), 1 / K)


def extreme(items: pl.DataFrame, descending: bool) -> np.ndarray:
    """An end of the scale for every item, as often one as the other within facet and key, whatever it says.

    The pattern + - - + is unrelated to desirability, which rises evenly within the cell.
    """
    within = items.select(pl.int_range(pl.len()).over("facet", "key")).to_series().to_numpy() % 4
    return placed(np.where((within == 0) | (within == 3), 1.0, -1.0), descending)


def first_position(items: pl.DataFrame, descending: bool) -> np.ndarray:  # noqa: ARG001 (part of the protocol)
    """Always the option shown first."""
    return np.tile(np.eye(K)[0], (len(items), 1))


def one_lover(bonus: float, base: Respondent) -> Respondent:
    """The label "1" gets a bonus in logits on top of what `base` answers."""

    def answer(items: pl.DataFrame, descending: bool) -> np.ndarray:
        p = base(items, descending) * np.exp(bonus * np.eye(K)[0])
        return p / p.sum(axis=1, keepdims=True)

    return answer


def desirability_responder(items: pl.DataFrame, descending: bool) -> np.ndarray:
    """Agrees as far as agreeing is desirable."""
    return placed(items["desirability"].to_numpy(), descending)


def content_responder(traits: Mapping[str, float] = TRAITS) -> Respondent:
    """Answers by what it is on each facet, and by nothing else."""

    def answer(items: pl.DataFrame, descending: bool) -> np.ndarray:
        trait = np.array([traits[facet] for facet in items["facet"]])
        return placed(items["key"].to_numpy() * trait, descending)

    return answer


def random_responder(seed: int) -> Respondent:
    """Any label, anew for every item and order."""

    def answer(items: pl.DataFrame, descending: bool) -> np.ndarray:
        rng = np.random.default_rng([seed, int(descending)])
        return np.eye(K)[rng.integers(K, size=len(items))]

    return answer


def softened(base: Respondent, share: float = 0.2) -> Respondent:
    """`base` with a share of even guessing, so that no label is impossible."""
    return mixture({base: 1 - share, even: share})


def mixture(weights: Mapping[Respondent, float]) -> Respondent:
    """Each style answers with the probability that is its weight."""

    def answer(items: pl.DataFrame, descending: bool) -> np.ndarray:
        return np.sum([w * style(items, descending) for style, w in weights.items()], axis=0)

    return answer


def ask(respondents: Mapping[str, Respondent], items: pl.DataFrame, *, label_mass: float = 0.9) -> pl.DataFrame:
    """The long table of answers of every respondent to every item in both orders."""
    tables = []
    for name, respondent in respondents.items():
        for descending in (False, True):
            p = respondent(items, descending)
            with np.errstate(divide="ignore"):
                scored = score_likert(
                    np.log(label_mass * p),
                    np.full(len(p), np.log(1 - label_mass)),
                    n_options=K,
                    descending=np.full(len(p), descending),
                )
            answers = (
                scored.frame()
                .drop("entropy")
                .with_columns(
                    persona=pl.lit(name),
                    order=pl.lit("descending" if descending else "ascending"),
                    option_probabilities=pl.Series(p.tolist(), dtype=pl.List(pl.Float64)),
                )
            )
            tables.append(pl.concat([items, answers], how="horizontal"))
    return pl.concat(tables)


def content_free(respondents: Mapping[str, Respondent]) -> pl.DataFrame:
    """Their answers to a statement that says nothing: keyed to a facet without a trait, of no desirability."""
    blank = pl.DataFrame({"item": ["blank"], "facet": ["none"], "domain": ["H"], "key": [1], "desirability": [0.0]})
    return ask(respondents, blank).select("persona", "order", "option_probabilities")


STYLES = {
    "yea": yea_sayer,
    "nay": nay_sayer,
    "middle": mid_point,
    "extreme": extreme,
    "first": first_position,
    "one": one_lover(50.0, softened(mid_point)),
    "desirable": desirability_responder,
    "content": content_responder(),
    "random": random_responder(1),
}
WEIGHTS = {"content": 0.35, "yea": 0.2, "first": 0.15, "desirable": 0.1, "random": 0.2}


def mixed() -> Respondent:
    """The mixture of styles with `WEIGHTS`."""
    return mixture({STYLES[name]: weight for name, weight in WEIGHTS.items()})


def noisy(seed: int, sd: float = 0.2) -> pl.DataFrame:
    """A condition that makes answers more desirable, with noise, where desirable items are mostly keyed positive."""
    rng = np.random.default_rng(seed)
    items = bank((6, 6), desirable_key=0.3)
    answers = ask({"self": mid_point, "meta": desirability_responder}, items)
    return answers.with_columns(agreement=pl.col("agreement") + pl.Series(rng.normal(0, sd, answers.height)))


def by_index(panel: pl.DataFrame, persona: str) -> dict[str, dict[str, object]]:
    """One persona's rows of a panel."""
    return {row["index"]: row for row in panel.filter(pl.col("persona") == persona).iter_rows(named=True)}
