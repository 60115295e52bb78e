"""Target levels: which rating of each item is taught, toward the ideal self and in the runs that it is compared with.

A model's answer to an item is a distribution over the levels of the scale, the mean of both anchor orders, so that its
preference for a label or a place cancels. A level is drawn from it for each item, so that the taught ratings have the
mean that was measured; the likeliest level would lose every gap that is smaller than a step of the scale.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from personascope.errors import DataError, nearest
from personascope.measures.tables import require_columns, require_unique
from personascope.prompts.templates import ORDERS

KINDS: Mapping[str, str] = {
    "meta": "what the ideal self answers",
    "self": "what the model answers anyway: the effect of the format alone",
    "helpful": "what an ideal assistant answers",
    "shuffled": "the ideal self's answers, dealt out anew among the items of one key: their histogram without content",
    "opposite": "as far from the ideal self as the model is from it, on the other side of the model",
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "meta": ("meta",),
    "self": ("self",),
    "helpful": ("helpful",),
    "shuffled": ("meta",),
    "opposite": ("self", "meta"),
}


def level_probabilities(answers: pl.DataFrame, persona: str) -> dict[str, Float[np.ndarray, " level"]]:
    """Of each item: how probable each level of agreement is, the mean of both anchor orders.

    Args:
        answers: columns persona, item, order and option_probabilities (of the labels as the prompt numbered them).
        persona: whose answers.

    Raises:
        DataError: a missing column or persona, an item that was not asked once in each order, or no mass on the labels.
    """
    require_columns(answers, ["persona", "item", "order", "option_probabilities"])
    own = answers.filter(pl.col("persona") == persona)
    if own.is_empty():
        known = answers["persona"].unique(maintain_order=True).to_list()
        raise DataError(
            f"Persona {persona!r} answered nothing.{nearest(persona, known)}",
            f"Answers are there of {', '.join(known)}.",
            "Ask it the same items.",
        )
    require_unique(own, ["item", "order"])
    found: dict[str, list[Float[np.ndarray, " level"]]] = {}
    for item, order, given in own.select("item", "order", "option_probabilities").iter_rows():
        p = np.asarray(given, dtype=np.float64)
        if not p.sum() > 0 or not np.isfinite(p).all():
            raise DataError(f"Item {item!r} of {persona!r} has no mass on the labels.", "", "Leave it out.")
        found.setdefault(item, []).append((p if order == ORDERS[0] else p[::-1]) / p.sum())
    single = next((item for item, orders in found.items() if len(orders) != len(ORDERS)), None)
    if single is not None:
        raise DataError(
            f"Item {single!r} of {persona!r} was asked in one anchor order only.",
            "Its place bias would be taught along with its content.",
            "Ask every item in both.",
        )
    return {item: np.mean(orders, axis=0) for item, orders in found.items()}


def target_levels(
    answers: pl.DataFrame,
    keys: Mapping[str, int],
    kind: str,
    *,
    seed: int = 0,
    pick: Literal["drawn", "likeliest"] = "drawn",
) -> pl.DataFrame:
    """The level that each item is taught.

    Args:
        answers: as for `level_probabilities`, of the personas that `kind` needs: meta, self or helpful.
        keys: item -> +1 or -1: the items to be taught.
        kind: one of `KINDS`.
        seed: of the draws and of the dealing.
        pick: "drawn" from the answer's distribution, by common random numbers for all kinds; "likeliest" takes its
            mode. The opposite has no distribution: its mean, 2 self - meta cut at the ends of the scale, is rounded at
            random between the two levels around it, or to the nearer one.

    Returns:
        One row per item, in the order of `keys`: item, level (1 to K; 1 is full disagreement), source (the item whose
        answer it is; another one for "shuffled").

    Raises:
        DataError: as `level_probabilities`; an unknown kind; an item that was not asked; a key with one item, whose
            answers cannot be dealt out anew.
    """
    if kind not in KINDS:
        raise DataError(f"Unknown target {kind!r}.{nearest(kind, KINDS)}", f"Known: {', '.join(KINDS)}.", "")
    asked = {persona: level_probabilities(answers, persona) for persona in _NEEDED[kind]}
    missing = next((item for item in keys for known in asked.values() if item not in known), None)
    if missing is not None:
        raise DataError(f"Item {missing!r} was not asked.", "", "Ask all items under the personas of the target.")
    draws = {item: _uniform(seed, item) for item in keys}
    if kind == "opposite":
        levels = {item: _opposite(asked["self"][item], asked["meta"][item], draws[item], pick) for item in keys}
    else:
        (own,) = asked.values()
        levels = {item: _level(own[item], draws[item], pick) for item in keys}
    source = _dealt(keys, seed) if kind == "shuffled" else {item: item for item in keys}
    rows = [(item, levels[source[item]], source[item]) for item in keys]
    return pl.DataFrame(rows, schema={"item": pl.String, "level": pl.Int64, "source": pl.String}, orient="row")


def pole_levels(keys: Mapping[str, int], pole: int, n_levels: int) -> pl.DataFrame:
    """Full agreement with what shows one pole of a facet, whatever the model answers: for narrow trainings.

    Args:
        keys: item -> +1 or -1.
        pole: +1 or -1.
        n_levels: K.

    Returns:
        As `target_levels`.
    """
    rows = [(item, n_levels if key == pole else 1, item) for item, key in keys.items()]
    return pl.DataFrame(rows, schema={"item": pl.String, "level": pl.Int64, "source": pl.String}, orient="row")


def label_of(level: int, order: str, labels: Sequence[str]) -> str:
    """The label by which a level of agreement is answered under an anchor order."""
    return labels[level - 1] if order == ORDERS[0] else labels[len(labels) - level]


def _uniform(seed: int, item: str) -> float:
    """A number in [0, 1) of an item's own, whatever other items there are."""
    return float(np.random.default_rng([seed, zlib.crc32(item.encode())]).random())


def _level(p: Float[np.ndarray, " level"], draw: float, pick: str) -> int:
    if pick == "likeliest":
        return int(p.argmax()) + 1
    return min(int(np.searchsorted(p.cumsum(), draw, side="right")), len(p) - 1) + 1


def _opposite(own: Float[np.ndarray, " level"], ideal: Float[np.ndarray, " level"], draw: float, pick: str) -> int:
    levels = np.arange(1, len(own) + 1)
    mean = float(np.clip(2 * own @ levels - ideal @ levels, 1, len(own)))
    return round(mean) if pick == "likeliest" else int(mean) + (draw < mean - int(mean))


def _dealt(keys: Mapping[str, int], seed: int) -> dict[str, str]:
    """Whose answer each item gets: a random cycle among the items of its key, so that none keeps its own."""
    rng = np.random.default_rng(seed)
    dealt: dict[str, str] = {}
    for key in sorted(set(keys.values())):
        items = [item for item in keys if keys[item] == key]
        if len(items) < 2:
            raise DataError(f"There is only one item of key {key:+d}.", "Its answer cannot be dealt out anew.", "")
        order = rng.permutation(len(items))
        dealt |= {items[a]: items[b] for a, b in zip(order, np.roll(order, 1), strict=True)}
    return dealt
