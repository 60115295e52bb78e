"""Split items into training, validation and test sets: whole clusters of near copies, one mix of facets and keys."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from personascope.errors import DataError
from personascope.files import sha256_json, sha256_text
from personascope.instruments.items import ItemBank

PARTS = ("train", "validation", "test")
RATIOS = (0.8, 0.1, 0.1)
_Stratum = tuple[str, int]


@dataclass(frozen=True)
class ItemSplit:
    """Ids of the items of each part, in the bank's order.

    Args:
        train: to learn from.
        validation: to stop and choose by.
        test: to report on.
        clusters: cluster of every item.
        strata: facet and key of every item.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    clusters: Mapping[str, str]
    strata: Mapping[str, _Stratum]

    def hash(self) -> str:
        """Content hash: equal for equal parts."""
        return sha256_json([sorted(self.train), sorted(self.validation), sorted(self.test)])

    def frame(self) -> pl.DataFrame:
        """One row per item: item, part, facet, key, cluster."""
        rows = [
            (item, part, *self.strata[item], self.clusters[item])
            for part, items in zip(PARTS, (self.train, self.validation, self.test), strict=True)
            for item in items
        ]
        schema = {"item": pl.String, "part": pl.String, "facet": pl.String, "key": pl.Int64, "cluster": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")


def split_items(
    bank: ItemBank,
    *,
    ratios: tuple[float, float, float] = RATIOS,
    clusters: Mapping[str, str] | None = None,
    salt: str = "",
) -> ItemSplit:
    """Split a bank by duplicate cluster, stratified by facet x key.

    No cluster is on two sides. Where clusters are single items, each stratum is split exactly by the ratios (rounded to
    the largest remainders); larger clusters go first, where most is still wanted, and single items fill up the rest.
    The order is that of a hash of the cluster's member ids: the order of the bank plays no part.

    Args:
        bank: the items.
        ratios: of train, validation and test; they sum to 1.
        clusters: cluster of each item by id (an audit's); the bank's own `cluster` fields without it,
            where an item that names none is alone.
        salt: another text gives another split.

    Raises:
        DataError: ratios that are not three positive numbers of sum 1, a stratum with too few items or clusters to give
            every part one, or a cluster missing for an item.
    """
    if len(ratios) != len(PARTS) or min(ratios) <= 0 or abs(sum(ratios) - 1) > 1e-9:
        raise DataError(
            f"The ratios {ratios} do not sum to 1.", "They are the shares of train, validation and test.", "Mend them."
        )
    cluster_of = _clusters(bank, clusters)
    strata: dict[str, _Stratum] = {item.id: (item.facet, item.key) for item in bank.items}
    members: dict[str, list[str]] = defaultdict(list)
    for item in bank.items:
        members[cluster_of[item.id]].append(item.id)
    rank = {name: sha256_text(salt + "\n" + "\n".join(sorted(ids))) for name, ids in members.items()}
    sizes = Counter(strata.values())
    wanted = {stratum: _quota(stratum, n, ratios, salt) for stratum, n in sizes.items()}
    part_of: dict[str, int] = {}
    for name in sorted(members, key=lambda name: (-len(members[name]), rank[name])):
        inside = Counter(strata[item] for item in members[name])
        part = _best_part(inside, wanted, ratios)
        for stratum, n in inside.items():
            wanted[stratum][part] -= n
        part_of[name] = part
    parts = [tuple(i.id for i in bank.items if part_of[cluster_of[i.id]] == part) for part in range(len(PARTS))]
    _require_filled(parts, strata)
    return ItemSplit(parts[0], parts[1], parts[2], cluster_of, strata)


def _clusters(bank: ItemBank, given: Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return {item.id: item.id if item.cluster is None else f"cluster {item.cluster}" for item in bank.items}
    missing = [item.id for item in bank.items if item.id not in given]
    if missing:
        raise DataError(
            f"Item {missing[0]!r} has no cluster ({len(missing)} of {len(bank.items)} items).",
            "Every item needs one; its own id where it has no copies.",
            "Take the clusters from an audit of this bank.",
        )
    return {item.id: given[item.id] for item in bank.items}


def _quota(stratum: _Stratum, n: int, ratios: Sequence[float], salt: str) -> list[int]:
    """Items of each part for a stratum of n: floors, then the largest remainders; ties turn with the stratum."""
    exact = [n * ratio for ratio in ratios]
    quota = [int(share + 1e-9) for share in exact]
    turn = int(sha256_text(f"{salt}\n{stratum}")[:8], 16)
    by_remainder = sorted(
        range(len(ratios)), key=lambda part: (-round(exact[part] - quota[part], 9), (part + turn) % len(ratios))
    )
    for part in by_remainder[: n - sum(quota)]:
        quota[part] += 1
    if min(quota) == 0:
        raise DataError(
            f"Facet {stratum[0]!r} has {n} items keyed {stratum[1]:+d}: split by {tuple(ratios)}, a part gets none.",
            "Every part needs items of every facet and key.",
            "Add items, or choose ratios nearer to each other.",
        )
    return quota


def _best_part(inside: Mapping[_Stratum, int], wanted: Mapping[_Stratum, list[int]], ratios: Sequence[float]) -> int:
    """The part that overshoots least, and of those the one that still lacks most of its share."""

    def cost(part: int) -> tuple[int, float]:
        overshoot = sum(max(0, n - wanted[stratum][part]) for stratum, n in inside.items())
        return overshoot, -sum(wanted[stratum][part] / ratios[part] for stratum in inside)

    return min(range(len(ratios)), key=cost)


def _require_filled(parts: Sequence[Sequence[str]], strata: Mapping[str, _Stratum]) -> None:
    for name, items in zip(PARTS, parts, strict=True):
        lacking = set(strata.values()) - {strata[item] for item in items}
        if lacking:
            facet, key = min(lacking)
            raise DataError(
                f"The {name} part has no item of facet {facet!r} keyed {key:+d}.",
                "Its items lie in few clusters of near copies, and a cluster is never split.",
                "Remove near copies or add items that differ.",
            )
