"""Fill the stores of a run, with the time that it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from personascope.activations.collect import collect
from personascope.activations.plan import Plan
from personascope.activations.store import ActivationStore
from personascope.experiments.runs import RunFolder
from personascope.models.engine import HookEngine

Progress = Callable[[str, int, int], None]


@runtime_checkable
class HasStores(Protocol):
    """A run, or the part of a run that belongs to one of its models."""

    @property
    def seconds(self) -> dict[str, float]:
        """Time taken by each part."""
        ...

    def store(self, name: str) -> Path:
        """Folder of a store."""
        ...


@dataclass(frozen=True)
class ModelStores:
    """The stores of a further model in a run, told from those of the first by its label."""

    run: RunFolder
    label: str

    @property
    def seconds(self) -> dict[str, float]:
        """Time taken by each part of the run."""
        return self.run.seconds

    def store(self, name: str) -> Path:
        """Folder of a store; + stands in no label of a model."""
        return self.run.store(f"{self.label}+{name}")


def collect_plan(plan: Plan, engine: HookEngine, run: HasStores, progress: Progress) -> ActivationStore:
    """Fill and open the plan's store in the run's folder. Errors: see `activations.collect`."""
    started, total = time.monotonic(), len(plan.rows)
    progress(plan.name, 0, total)
    store = collect(plan, engine, run.store(plan.name), progress=lambda rows, _tokens: progress(plan.name, rows, total))
    run.seconds[f"collect {plan.name}"] = time.monotonic() - started
    return store


def store_facts(stores: Mapping[str, ActivationStore]) -> dict[str, object]:
    """Rows and plan key of each store, for the provenance."""
    return {"stores": {name: {"rows": store.n_rows, "plan_key": store.key} for name, store in stores.items()}}


def named(progress: Progress, name: str) -> Callable[[int, int], None]:
    """Progress of one part, by its name."""
    return lambda done, total: progress(name, done, total)
