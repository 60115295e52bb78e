"""Run folders: everything a study wrote, bound to one recipe, continued when run again."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from personascope.errors import FileFormatError, RunFolderError
from personascope.experiments.recipe_bases import Study
from personascope.files import (
    TEMPORARY_PREFIX,
    atomic_write,
    read_json,
    safe_child,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)

PACKAGES = ("personascope", "torch", "transformers", "numpy", "scipy", "scikit-learn", "polars", "h5py", "plotly")


@dataclass
class RunFolder:
    """A run's folder: recipe.json, provenance.json, stores/, tables/, directions/, results.json, report.html.

    Args:
        path: the folder; with `fork` a sibling of it, `<path>-fork-<hash>`, when it belongs to something else.
        recipe: what is run.
        fork: start, or continue, a run beside the one that differs instead of refusing.

    Raises:
        RunFolderError: the folder belongs to another recipe (the differing keys are named), or is something else.
    """

    path: Path
    recipe: Study
    fork: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self._card.is_file():
            self._settle({key: value for key, value in read_json(self._card).items() if key != "plans"}, self._asked)
        elif self.path.exists() and (not self.path.is_dir() or _holds_anything(self.path)):
            raise RunFolderError(
                f"{self.path} exists and is not a run folder.",
                "It has no recipe.json.",
                "Choose another folder with --out.",
            )

    def begin(self, plans: Mapping[str, Mapping[str, str]]) -> None:
        """Make the folder and bind it to the recipe and to all that can change a number in its stores.

        Called when everything has been checked that can be.

        Args:
            plans: `Plan.fields()` by name: model, weights, dtype, threads, data and so on.

        Raises:
            RunFolderError: the run was begun with another model, machine setting or data; the field is named.
        """
        asked = {**self._asked, "plans": {name: dict(fields) for name, fields in plans.items()}}
        if self._card.is_file():
            self._settle(read_json(self._card), asked)
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._card.is_file():
            write_json(self._card, asked)

    def _settle(self, found: dict[str, Any], asked: dict[str, Any]) -> None:
        """Accept a folder made for the same; else move on to the fork, or refuse."""
        different = _differences(found, asked)
        if different and self.fork:
            self.path = self.path.with_name(f"{self.path.name}-fork-{sha256_json(asked)[:8]}")
        elif different:
            raise RunFolderError(
                f"The folder {self.path} belongs to a different run: {'; '.join(different[:5])}.",
                "A run folder holds the results of exactly one recipe, model and version, so that no numbers mix.",
                "Choose another folder with --out, start a run beside this one with --fork, or remove this one.",
            )

    @property
    def _card(self) -> Path:
        return self.path / "recipe.json"

    @property
    def _asked(self) -> dict[str, Any]:
        return {"recipe": self.recipe.resolved(), "personascope": _version("personascope")}

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.path / "report.html"

    def is_finished(self) -> bool:
        """Whether the page, written last, is there."""
        return self.report.is_file() and (self.path / "results.json").is_file()

    def store(self, name: str) -> Path:
        """Folder of an activation store."""
        return safe_child(self.path / "stores", name)

    def stage(self, name: str, compute: Callable[[], dict[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
        """Tables of one stage: read back when the stage has finished before, computed and written otherwise.

        A stage is finished when its list of tables with their hashes is on disk; a damaged table is computed again.
        """
        card = safe_child(self.path / "tables", f"{name}.stage.json")
        found = self._read_stage(card)
        if found is not None:
            return found
        started = time.monotonic()
        tables = compute()
        for table, frame in tables.items():
            with atomic_write(self._table(table)) as stream:
                frame.write_parquet(stream)
        self.seconds[name] = time.monotonic() - started
        facts = {"tables": {t: sha256_file(self._table(t)) for t in tables}, "seconds": self.seconds[name]}
        write_json(card, facts)
        # the written tables are handed on, so that a resumed run and an uninterrupted one see the same bits
        return {table: pl.read_parquet(self._table(table)) for table in tables}

    def _table(self, name: str) -> Path:
        return safe_child(self.path / "tables", f"{name}.parquet")

    def _read_stage(self, card: Path) -> dict[str, pl.DataFrame] | None:
        if not card.is_file():
            return None
        try:
            facts = read_json(card)
            hashes, self.seconds[card.name.split(".")[0]] = facts["tables"], float(facts["seconds"])
        except (FileFormatError, KeyError, TypeError, ValueError):
            return None
        for table, digest in hashes.items():
            if not self._table(table).is_file() or sha256_file(self._table(table)) != digest:
                return None
        return {table: pl.read_parquet(self._table(table)) for table in hashes}

    def write_provenance(self, backends: Mapping[str, Mapping[str, str]], extra: dict[str, Any]) -> None:
        """Versions, machine, seeds, timings and each model's fingerprint; the only file that may differ in reruns."""
        write_json(
            self.path / "provenance.json",
            {
                "recipe_sha256": self.recipe.hash(),
                "seed": self.recipe.seed,
                "backends": {label: dict(facts) for label, facts in backends.items()},
                "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
                "machine": {"system": platform.platform(), "processor": platform.machine()},
                "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
                **extra,
            },
        )

    def provenance(self) -> dict[str, Any]:
        """What `write_provenance` wrote."""
        return dict(read_json(self.path / "provenance.json"))

    def write_results(self, results: dict[str, Any]) -> None:
        """results.json: every headline number; no timings, so that reruns are identical."""
        write_json(self.path / "results.json", results)

    def write_report(self, page: str) -> None:
        """The HTML page, last of all: a folder with a page is finished."""
        write_text(self.report, page)


def _holds_anything(folder: Path) -> bool:
    """Whether there is more than what a killed atomic write left."""
    return any(not path.name.startswith(TEMPORARY_PREFIX) for path in folder.iterdir())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _differences(found: Any, asked: Any, at: str = "") -> list[str]:
    """Keys whose values differ, with both values."""
    if isinstance(found, dict) and isinstance(asked, dict):
        keys = sorted(set(found) | set(asked))
        return [
            line for key in keys for line in _differences(found.get(key), asked.get(key), f"{at}.{key}".lstrip("."))
        ]
    short = [repr(value)[:60] for value in (found, asked)]
    return [] if found == asked else [f"{at} is {short[0]} there and {short[1]} now"]
