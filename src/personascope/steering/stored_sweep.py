"""Sweeps whose answers are rows of an activation store: killed at any instant, a sweep goes on where it was.

Each prompt under each cell is a row of a plan. The rows of one prompt stand next to each other, so that a shard is
swept like any batch, and what holds for stores holds for sweeps: shards are verified and written once, and the key
covers all that can change a number, the directions included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from personascope.activations.collect import collect
from personascope.activations.plan import Plan, Row
from personascope.activations.store import ActivationStore
from personascope.errors import ActivationError, DataError
from personascope.files import sha256_json
from personascope.models.adapt import as_backend
from personascope.models.backend import Backend, Outputs
from personascope.models.intervention import Cell, Intervention, cell_hash
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt

ROWS_PER_SHARD = 4096


@dataclass(frozen=True)
class CellPrompt(Prompt):
    """A prompt that is to be run under one cell, by the cell's name."""

    cell: str


class SweptBackend:
    """Runs prompts each under its own cell: a `Backend` over another one, whose fingerprint covers the cells.

    Args:
        backend: who answers.
        cells: by name; () is the unsteered baseline.
    """

    def __init__(self, backend: Backend, cells: Mapping[str, Cell]) -> None:
        self.backend, self.cells = backend, dict(cells)
        self.name, self.n_layers, self.d_model = backend.name, backend.n_layers, backend.d_model
        self.interventions: list[Intervention] = []

    def fingerprint(self) -> dict[str, str]:
        """That of the model, and a hash of every cell."""
        return {
            **self.backend.fingerprint(),
            "cells": sha256_json([[name, cell_hash(cell)] for name, cell in self.cells.items()]),
        }

    def run(
        self,
        prompts: Sequence[Prompt],
        *,
        layers: Sequence[int] = (),
        positions: Sequence[str] = ("answer",),  # noqa: ARG002  (the protocol's)
        options: Options | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Outputs:
        """Answers of `CellPrompt`s; prompts that are asked under the same cells are swept together.

        Raises:
            ActivationError: residuals are asked for, or a prompt says no cell.
            PersonascopeError: as `models.sweep.sweep`.
        """
        if layers or interventions or options is None or not all(isinstance(one, CellPrompt) for one in prompts):
            raise ActivationError(
                "A sweep reads answers of prompts under cells, and nothing else.",
                f"Asked for: layers {list(layers)}, options {options}, {len(interventions)} further interventions.",
                "Run the model itself for residuals.",
            )
        alike: dict[tuple[str, ...], list[dict[str, int]]] = {}
        for own in _askings(prompts):
            alike.setdefault(tuple(own), []).append(own)
        chosen = torch.full((len(prompts), len(options.labels)), torch.nan)
        other = torch.full((len(prompts),), torch.nan)
        for names, group in alike.items():
            asked = [_plain(prompts[next(iter(own.values()))]) for own in group]
            found = sweep(self.backend, asked, [self.cells[name] for name in names], options)
            places = torch.tensor([[own[name] for name in names] for own in group])
            chosen[places], other[places] = found.option_logprobs, found.other_logmass
        return Outputs(torch.zeros((len(prompts), 0, 0, self.d_model)), chosen, other)


def stored_sweep(
    backend: Any,
    rows: Sequence[Row],
    cells: Mapping[str, Cell],
    options: Options,
    folder: Path,
    *,
    name: str = "sweep",
    context: Mapping[str, str] | None = None,
    rows_per_shard: int = ROWS_PER_SHARD,
    progress: Callable[[int, int], None] | None = None,
) -> ActivationStore:
    """Ask every row under every cell, or find it asked; run again after any interruption, it continues.

    Args:
        backend: a loaded model (see `as_backend`).
        rows: closed questions; `id` and meta are kept.
        cells: by name; "/" stands in no name. The name becomes the column "cell".
        options: the labels that are read.
        folder: of the store.
        name: of the plan, for people.
        context: hashes of data, for the plan's key.
        rows_per_shard: answers in one file, and what a crash can lose at most.
        progress: called with (answers there, answers in all) after each shard.

    Returns:
        The store; row r under cell c of so many is number r * cells + c.

    Raises:
        DataError: no cells, a name with "/", cells that replace rows, or repeated row ids.
        PersonascopeError: as `collect`; a folder that was filled with other cells is refused.
    """
    wrong = [cell for cell in cells if "/" in cell or not cell]
    if wrong or not cells:
        raise DataError(f"Cells cannot be named {list(cells)[:5]}.", 'A name has text and no "/".', "Rename them.")
    if any(intervention.rows is not None for cell in cells.values() for intervention in cell):
        raise DataError(
            "A cell replaces rows of the residual stream.",
            "Such rows belong to the prompts of one call, and a stored sweep runs its prompts in parts.",
            "Patch with `patch_sweep`.",
        )
    swept = SweptBackend(as_backend(backend), cells)
    plan = Plan(
        name=name,
        rows=[
            Row(f"{row.id}/{cell}", _under(row.prompt, cell), {**row.meta, "cell": cell})
            for row in rows
            for cell in cells
        ],
        layers=(),
        positions=(),
        options=options,
        context={**swept.fingerprint(), **(context or {})},
        rows_per_shard=max(1, rows_per_shard // len(cells)) * len(cells),
    )
    total = len(plan.rows)
    return collect(plan, swept, folder, progress=progress and (lambda done, _tokens: progress(done, total)))


def _askings(prompts: Sequence[Prompt]) -> list[dict[str, int]]:
    """For each prompt its rows by cell; a prompt that stands twice under a cell is asked twice."""
    found: dict[Any, list[dict[str, int]]] = {}
    for row, prompt in enumerate(prompts):
        assert isinstance(prompt, CellPrompt)
        own = found.setdefault((prompt.ids, tuple(prompt.spans.items())), [{}])
        if prompt.cell in own[-1]:
            own.append({})
        own[-1][prompt.cell] = row
    return [rows for own in found.values() for rows in own]


def _under(prompt: Prompt, cell: str) -> CellPrompt:
    return CellPrompt(**{one.name: getattr(prompt, one.name) for one in fields(Prompt)}, cell=cell)


def _plain(prompt: Prompt) -> Prompt:
    return Prompt(prompt.ids, prompt.text, prompt.spans)
