"""Paragraphs on what narrow trainings moved that nobody asked for."""

from __future__ import annotations

import polars as pl

from personascope.report.findings import Row
from personascope.report.findings_tuning import run_name, why
from personascope.report.wording import estimate, listed, number, pretty, probability, share, signed

_LEVEL = 0.05
_THINGS = {"facets": "facets", "utilities": "topics"}


def units(frame: pl.DataFrame) -> list[str]:
    """Run by run: did what was taught move, and how many of the others did."""
    texts = []
    for (run, of), own in frame.group_by("run", "of", maintain_order=True):
        taught, rest = own.filter("taught"), own.filter(~pl.col("taught"))
        others = rest.drop_nulls("q")
        text = f"{run_name(str(run))}, {of}: "
        if taught.height:
            moved = (f"{pretty(row['unit'])} {_moved(row)}" for row in taught.iter_rows(named=True))
            text += f"taught were {listed(list(moved))}. "
        else:
            text += "none of these was taught. "
        if others.is_empty():
            texts.append(f"{text}The {rest.height} {_THINGS[str(of)]} that were not taught have too few tasks or "
                         "items to be tested one by one.")  # fmt: skip
            continue
        clear = others.filter(pl.col("q") < _LEVEL)
        things = _THINGS[str(of)]
        text += f"Of {others.height} {things} that were not taught {_count(clear.height)} moved (q < {_LEVEL:g})"
        if clear.height:
            text += ": " + listed([f"{pretty(row['unit'])} {signed(row['moved'])}" for row in clear.to_dicts()])
        texts.append(text + ".")
    return texts


def totals(frame: pl.DataFrame) -> list[str]:
    """Is the movement that nobody asked for larger than noise, and than what the control run moved?"""
    texts = []
    for (run, of), own in frame.group_by("run", "of", maintain_order=True):
        rows = {row["part"]: row for row in own.to_dicts()}
        other = rows.get("unrequested")
        if other is None:
            continue
        beyond = other["p"] is not None and other["p"] < _LEVEL
        text = (
            f"{run_name(str(run))}, {of}: what was not taught moved by {number(other['mean_absolute'], 3)} in size on "
            f"average, where noise alone would give {number(other['floor'], 3)} ({probability('p', other['p'])}, "
            f"{other['n_units']} {_THINGS[str(of)]}): {'more than noise' if beyond else 'no more than noise is shown'}."
        )
        control = rows.get("control run")
        if control is not None:
            text += (
                " The control run, taught the model's own answers, moved them by "
                f"{number(control['mean_absolute'], 3)} ({probability('p', control['p'])})."
            )
        texts.append(text)
    return texts


def personas(frame: pl.DataFrame) -> list[str]:
    """Toward which persona the unrequested movement goes, or why that cannot be said."""
    texts = []
    for (run, of), own in frame.group_by("run", "of", maintain_order=True):
        told = [_toward(row) for row in own.to_dicts()]
        texts.append(f"{run_name(str(run))}, {of}, toward {'; '.join(told)}.")
    return texts


def projection(frame: pl.DataFrame) -> list[str]:
    """In how many cells the shift lies along a persona's direction beyond random ones."""
    texts = []
    for (run,), own in frame.group_by("run", maintain_order=True):
        beyond = own.filter("beyond")
        text = f"{run_name(str(run))}: the shift of the residual stream lies along a persona's direction beyond random "
        text += f"directions in {share(beyond.height, own.height)} cells (persona × layer)"
        if beyond.height:
            top = beyond.sort(pl.col("cosine").abs(), descending=True, maintain_order=True).row(0, named=True)
            text += (
                f"; the largest of them: {pretty(top['persona'])} at layer {top['layer']}, cosine "
                f"{number(top['cosine'])} (random below {number(top['null_high'])}), "
                f"{estimate(top['way'], top['low'], top['high'])} of the way"
            )
        texts.append(text + f" (n = {own['n'][0]} items).")
    return texts


def _moved(row: Row) -> str:
    return f"by {estimate(row['moved'], row['low'], row['high'])}"


def _count(n: int) -> str:
    return "none" if n == 0 else str(n)


def _toward(row: Row) -> str:
    """A cosine over facets, or a correlation over topics or tasks, with what speaks against it."""
    name = pretty(row["persona"])
    if row.get("level") is not None:
        name += f" ({row['level']})"
    value = row["cosine"] if row.get("cosine") is not None else row.get("r")
    if value is None:
        return f"{name}: nothing can be said, {why(row['refused'])}" if row.get("refused") else f"{name}: not known"
    found = f"{name}: {estimate(value, row['low'], row['high'])}, {probability('p', row['p'])}"
    return found + (f", {probability('q', row['q'])}" if row.get("q") is not None else "")
