"""Shift tables as complete grids of conditions by tasks, with what is resampled and permuted together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, Shaped

from personascope.errors import DataError
from personascope.measures.pairing import codes_of
from personascope.measures.tables import require_columns, require_unique

Cluster: TypeAlias = Literal["condition", "matched", "subject"]
Cells: TypeAlias = Float[np.ndarray, "condition task"]
Mask: TypeAlias = Bool[np.ndarray, "condition task"]
SETS = ("all", "on_target", "off_target", "opposed")
ABOUT = ("design", "condition", "subject", "polarity", "matched", "task", "role")
"""What a shift table says of each cell, beside its sign."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The complete table of conditions by tasks of one design, and who is resampled together."""

    design: str
    clusters: Int[np.ndarray, " condition"]
    subject: Shaped[np.ndarray, " condition"]
    polarity: Int[np.ndarray, " condition"]
    matched: Shaped[np.ndarray, " condition"]
    tasks: Shaped[np.ndarray, " task"]
    role: Shaped[np.ndarray, "condition task"]
    sign: Cells
    choice: Cells
    scores: Mapping[str, Cells]

    def where(self, keep: Bool[np.ndarray, " condition"]) -> Grid:
        """The grid of some conditions."""
        return replace(
            self,
            clusters=codes_of(self.clusters[keep]) if keep.any() else self.clusters[keep],
            subject=self.subject[keep],
            polarity=self.polarity[keep],
            matched=self.matched[keep],
            role=self.role[keep],
            sign=self.sign[keep],
            choice=self.choice[keep],
            scores={scorer: values[keep] for scorer, values in self.scores.items()},
        )

    def sets(self) -> Iterator[tuple[str, Mask]]:
        """Name and cells of each set; "opposed" only where there are any."""
        masks = (np.ones(self.role.shape, dtype=bool), *(self.role == role for role in ("target", "off", "opposed")))
        yield from ((name, mask) for name, mask in zip(SETS, masks, strict=True) if name != "opposed" or mask.any())

    def draw(
        self, n: int, seed: int
    ) -> tuple[Float[np.ndarray, "resample condition"], Float[np.ndarray, "resample task"]]:
        """How often each condition and each task is drawn, clusters and tasks independently."""
        rng = np.random.default_rng(seed)
        n_clusters, n_tasks = int(self.clusters.max(initial=-1)) + 1, len(self.tasks)
        of_clusters = rng.multinomial(n_clusters, np.full(n_clusters, 1 / max(n_clusters, 1)), size=n)
        of_tasks = rng.multinomial(n_tasks, np.full(n_tasks, 1 / n_tasks), size=n)
        return of_clusters[:, self.clusters].astype(np.float64), of_tasks.astype(np.float64)

    def permutations(self, n: int, seed: int, within: bool) -> Int[np.ndarray, "permutation condition"]:
        """Random orders of the conditions, of all or within each subject; none where nothing can move."""
        strata = codes_of(self.subject) if within else np.zeros(len(self.subject), dtype=np.int64)
        if not len(strata) or np.bincount(strata).max() < 2:
            return np.empty((0, len(strata)), dtype=np.int64)
        rng = np.random.default_rng([seed, within])
        home = np.argsort(strata, kind="stable")
        shuffled = np.lexsort((rng.random((n, len(strata))), np.tile(strata, (n, 1))), axis=1)
        orders = np.empty((n, len(strata)), dtype=np.int64)
        orders[:, home] = shuffled
        return orders


def grids(table: pl.DataFrame, cluster: Cluster) -> Iterator[Grid]:
    """One grid for each design of a shift table.

    Raises:
        DataError: missing columns, a cell twice, or a grid with holes.
    """
    require_columns(table, [*ABOUT, "sign", "scorer", "choice_shift", "score_shift"], may_be_null=["sign"])
    require_unique(table, ["design", "scorer", "condition", "task"])
    for (design,), part in table.group_by("design", maintain_order=True):
        names = {name: part[name].unique(maintain_order=True).to_list() for name in ("scorer", "condition", "task")}
        shape = tuple(len(found) for found in names.values())
        if part.height != np.prod(shape):
            raise DataError(
                f"Design {design!r} has {part.height} cells, not {' x '.join(map(str, shape))} (scorers, conditions, "
                "tasks).",
                "Whole conditions are permuted, so all of them need the same tasks.",
                "Ask every condition every task, and score it by every scorer.",
            )
        order = [pl.col(name).cast(pl.Enum(found)) for name, found in names.items()]
        part = part.sort(order)
        one, rest = part.head(shape[1] * shape[2]), shape[1:]
        by_condition = one.gather_every(rest[1])
        shifts = part["score_shift"].to_numpy().astype(np.float64).reshape(shape)
        yield Grid(
            design=str(design),
            clusters=codes_of(by_condition[cluster].to_numpy()),
            subject=by_condition["subject"].to_numpy(),
            polarity=by_condition["polarity"].to_numpy(),
            matched=by_condition["matched"].to_numpy(),
            tasks=np.array(names["task"]),
            role=one["role"].to_numpy().reshape(rest),
            sign=one["sign"].cast(pl.Float64).fill_null(0).to_numpy().reshape(rest),
            choice=one["choice_shift"].to_numpy().astype(np.float64).reshape(rest),
            scores=dict(zip(names["scorer"], shifts, strict=True)),
        )
