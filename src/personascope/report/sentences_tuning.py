"""Paragraphs on what runs were taught and how far they moved toward the ideal, beside runs taught otherwise."""

from __future__ import annotations

from typing import Any

import polars as pl

from personascope.report.findings import Row
from personascope.report.findings_tuning import LESSONS, TAUGHT, biased, gaps, order, run_name, side, targets, why
from personascope.report.outline import Grid, Quote, Tables
from personascope.report.sentences_random import PICKED
from personascope.report.wording import (
    count,
    count_range,
    estimate,
    excerpt,
    listed,
    number,
    plural,
    pretty,
    share,
    share_of,
    signed,
)

_QUOTED = 2
_LINE = 420
ANSWERS = "answer shift"
_READ = ("trait movement", ANSWERS, "unclear")
_READINGS = {
    (1, 1): "both move toward the ideal, which is a movement of the trait",
    (-1, -1): "both move away from the ideal, which is a movement of the trait the wrong way",
    (1, -1): "they move in opposite ways: an answer shift, ratings rise or fall whatever the item says",
    (-1, 1): "they move in opposite ways: an answer shift, ratings rise or fall whatever the item says",
}


def runs_taught(frame: pl.DataFrame) -> list[str]:
    """How many runs there are, which are controls, and whether each learned what it was taught."""
    n = frame.height
    groups = [
        f"{LESSONS.get(target, target)} ({frame.filter(pl.col('target') == target).height})"
        for target in order(frame, "target")
    ]
    learned = frame.filter(pl.col("has_learned"))
    text = (
        f"{n} {plural('run', n)}, each with an adapter of its own. Taught, with the number of runs: "
        f"{'; '.join(groups)}. {share_of(learned.height, n, 'run').capitalize()} learned: the loss on validation items "
        "fell below that of the untrained model."
    )
    still = [run_name(run) for run in frame.filter(~pl.col("has_learned").fill_null(value=False))["run"]]
    if still:
        text += f" Not so {listed(still)}: what moved there is not owed to what was taught."
    if not frame.filter(pl.col("target") != TAUGHT).height:
        text += " There is no control run, so what training does by itself is not known."
    return [text]


def run_grid(tables: Tables) -> Grid:
    """Every run in a row."""
    frame = tables["tuning_runs"]
    columns = ("run", "taught", "seed", "reasons", "facets held out", "examples", "tokens taught", "best epoch")
    rows = tuple(
        (
            run_name(row["run"]),
            LESSONS.get(row["target"], row["target"]),
            str(row["seed"]),
            "yes" if row["reasons"] else "no",
            ", ".join(pretty(name).lower() for name in (row["held_out"] or "").split(", ") if name) or "none",
            f"{count(row['n_train'])} + {count(row['n_validation'])}",
            count(row["n_taught"]),
            count(row["best_epoch"]),
            f"{number(row['untrained_loss'])} → {number(row['validation_loss'])}",
            "yes" if row["has_learned"] else "no",
        )
        for row in frame.iter_rows(named=True)
    )
    caption = (
        "Runs. Examples: for training + for validation. Loss: on validation items, in nats a taught token, untrained → "
        "at the best epoch, which is chosen by it."
    )
    return Grid(caption, (*columns, "loss", "learned"), rows)


def shown_examples(frame: pl.DataFrame) -> list[str]:
    """What the marked text below is."""
    tokens = f" ({count_range(frame['n_taught'])} tokens in the examples that are kept)"
    return [
        f"Below are examples as the model met them. The loss falls on the marked part and the end of the turn{tokens}, "
        "and on nothing before it."
    ]


def examples(frame: pl.DataFrame) -> list[Quote]:
    """The first examples of the first run, and one of the run that is taught the longest answers."""
    first = frame.filter(pl.col("run") == frame["run"][0]).head(_QUOTED)
    longest = frame.sort("n_taught", descending=True, maintain_order=True).head(1)
    shown = first if longest["run"][0] == frame["run"][0] else pl.concat([first, longest])
    quotes, before = [], ""
    for row in shown.iter_rows(named=True):
        source = f"{run_name(row['run'])}, {excerpt(row['example'], 60)}"
        prompt = _lines(row["prompt"])
        quotes.append(Quote(_from_difference(prompt, before), source, _lines(row["answer"])))
        before = before or prompt
    return quotes


def movement(tables: Tables) -> list[str]:
    """How far the first run moved toward the ideal, by which items, and beside the other runs."""
    frame, lessons = tables["tuning_gap"], targets(tables)
    runs = order(frame)
    first = runs[0]
    own = frame.filter(pl.col("run") == first)
    texts = [_first(own)]
    if len(runs) > 1:
        texts.append(_others(frame, lessons, runs[1:]))
    else:
        texts.append("There is no other run to compare with: what training does by itself is not known.")
    return texts


def beyond(tables: Tables) -> list[str]:
    """Whether the first run is shown to have moved farther than each other, on the same items."""
    frame, lessons = tables["tuning_beyond"], targets(tables)
    whole = gaps(frame)
    first = run_name(whole["run"][0]) if whole.height else "The first run"
    known = whole.drop_nulls(["gap_closed"])
    if known.is_empty():
        reason = why(whole["refused"][0]) if whole.height else why(None)
        return [f"Whether {first} moved farther toward the ideal than its controls cannot be said: {reason}."]
    controls = known.filter(pl.col("other").is_in([run for run, lesson in lessons.items() if lesson != TAUGHT]))
    texts = []
    for name, part in (("control", controls), ("other run", known.join(controls, on="other", how="anti"))):
        if part.height:
            texts.append(_compared(part, name, first))
    if controls.height:
        texts[0] += f" {_verdict(controls, first)}"
    refused = whole.filter(pl.col("gap_closed").is_null())
    if refused.height:
        said = "; ".join(f"{run_name(row['other'])} ({why(row['refused'])})" for row in refused.to_dicts())
        texts.append(f"Not compared: {said}.")
    return texts


def _compared(part: pl.DataFrame, name: str, first: str) -> str:
    parts = [f"{run_name(row['other'])}: {_signed(row)}" for row in part.sort("gap_closed", descending=True).to_dicts()]
    farther = sum(side(row["low"], row["high"]) > 0 for row in part.to_dicts())
    less = sum(side(row["low"], row["high"]) < 0 for row in part.to_dicts())
    return (
        f"{first} minus each {name}, share of the gap on the same items: {'; '.join(parts)}. It is shown to have moved "
        f"farther than {share_of(farther, part.height, name)}"
        + (f", and less far than {less}" if less else "")
        + f" ({part.height} {plural('comparison', part.height)}, not corrected; n = {part['n_items'][0]} items)."
    )


def _verdict(controls: pl.DataFrame, first: str) -> str:
    """What the comparisons with controls add up to, and whether what is beyond them is the trait."""
    rows = controls.to_dicts()
    sides = [side(row["low"], row["high"]) for row in rows]
    if not any(one > 0 for one in sides):
        return f"So nothing shows that {first} moved by what it was taught and not by training itself."
    shifted = [run_name(row["other"]) for row in rows if row["reading"] == ANSWERS]
    turn = f" But beyond {listed(shifted)} it is an answer shift: + and − items part." if shifted else ""
    if all(one > 0 for one in sides):
        return f"So {first} moved more than all its controls.{turn}"
    return f"So {first} moved more than some of its controls and is not shown to have moved more than others.{turn}"


def facets_moved(frame: pl.DataFrame) -> list[str]:
    """How many facets of the first run moved, after correction, and the farthest."""
    own = frame.filter(pl.col("run") == frame["run"][0]).drop_nulls("moved")
    if own.is_empty():
        return ["No facet's movement could be measured."]
    n, sure = own.height, own.filter(pl.col("q") < 0.05)
    top = own.sort(pl.col("moved").abs(), descending=True, maintain_order=True).row(0, named=True)
    closed = own.drop_nulls("closed")
    return [
        f"Facet by facet, {run_name(frame['run'][0])} moved {share(sure.height, n)} facets (q < 0.05). The "
        f"farthest ({PICKED}, of {n}) is {pretty(top['facet'])}, by {_ends(top, 'moved')} on {top['n']} items, where "
        f"its gap to the ideal is {signed(top['gap'])}. {share(closed.height, n).capitalize()} gaps lie more than 3 "
        "standard errors off 0, so that a share closed could be given."
    ]


def _first(own: pl.DataFrame) -> str:
    rows: dict[tuple[str, bool], Row] = {(row["keys"], bool(row["centred"])): row for row in own.to_dicts()}
    whole = rows.get(("both", False))
    if whole is None:
        return "The gap closed was not measured."
    name, n = run_name(whole["run"]), f"n = {whole['n_items']} items of {whole['n_facets']} facets"
    if whole["gap_closed"] is None:
        text = (
            f"How much of the gap to its ideal {name} closed on test items cannot be concluded: "
            f"{why(whole['refused'])} ({n}). The {biased(whole)} counts shared error as movement and shows nothing by "
            "itself."
        )
    else:
        text = (
            f"{name} closed {_share(whole)} of the gap between self and ideal on test items ({n}); 0 is no movement, 1 "
            f"is at the ideal. {_whole_side(whole)} Beside it the {biased(whole)}."
        )
        profile = rows.get(("both", True))
        if profile is not None:
            text += f" Of the differences between facets alone: {_share(profile)}."
    keys = [rows.get((key, False)) for key in ("positive", "negative")]
    return f"{text} {_by_key(keys, whole_known=whole['gap_closed'] is not None)}"


def _whole_side(row: Row) -> str:
    where = side(row["low"], row["high"])
    if where > 0:
        return "The interval lies above 0: it moved toward the ideal."
    return "The interval lies below 0: it moved away." if where < 0 else "The interval holds 0: no movement is shown."


def _by_key(keys: list[Row | None], *, whole_known: bool) -> str:
    plus, minus = keys
    if plus is None or minus is None or plus["gap_closed"] is None or minus["gap_closed"] is None:
        return "By + and − items apart it cannot be said whether the trait moved or only the ratings."
    sides = (side(plus["low"], plus["high"]), side(minus["low"], minus["high"]))
    reading = _READINGS.get(sides, "whether that is the trait or an answer shift is not settled")
    if not whole_known and sides[0] == sides[1]:  # a gap in yea-saying alone moves both alike
        reading = "without a gap between self and ideal on both together, that is no sign of the trait"
    return f"+ items closed {_share(plus)} and − items {_share(minus)}: {reading}."


def _others(frame: pl.DataFrame, lessons: dict[str, str], runs: list[str]) -> str:
    """The other runs' own numbers, lesson by lesson."""
    rows: dict[str, Any] = {row["run"]: row for row in gaps(frame).to_dicts()}
    known = [run for run in runs if run in rows and rows[run]["gap_closed"] is not None]
    if not known:
        reasons = list(dict.fromkeys(why(rows[run]["refused"]) for run in runs if run in rows))
        same = "for the same reason" if len(reasons) == 1 else "too"
        plain = "; ".join(f"{run_name(run)}: {number(rows[run]['naive_biased'])}" for run in runs if run in rows)
        return (
            f"The other {plural('run', len(runs))} can be judged no better, {same}; nothing can be concluded from "
            f"comparing plain slopes ({plain}; all biased).{_readings(frame, runs)}"
        )
    said = []
    for lesson in dict.fromkeys(lessons.get(run, "") for run in known):
        own = [f"{run_name(run)}: {_share(rows[run])}" for run in known if lessons.get(run, "") == lesson]
        said.append(f"Taught {LESSONS[lesson]}, {'; '.join(own)}" if lesson in LESSONS else "; ".join(own))
    refused = len(runs) - len(known)
    return f"Other runs. {'. '.join(said)}." + (f" {refused} refused." if refused else "") + _readings(frame, runs)


def _readings(frame: pl.DataFrame, runs: list[str]) -> str:
    """What + and − items of the other runs say."""
    read = [(run, frame.filter(pl.col("run") == run)["reading"].drop_nulls()) for run in runs]
    named = {reading: [run_name(run) for run, own in read if own.len() and own[0] == reading] for reading in _READ}
    said = "; ".join(f"{what}: {listed(own)}" for what, own in named.items() if own)
    return f" By + and − items they read as {said}." if said else ""


def _share(row: Row) -> str:
    if row["gap_closed"] is None:
        return f"no share that can be given ({why(row['refused'])})"
    return estimate(row["gap_closed"], row["low"], row["high"])


def _signed(row: Row) -> str:
    return f"{signed(row['gap_closed'])} {estimate(row['gap_closed'], row['low'], row['high']).partition(' ')[2]}"


def _ends(row: Row, name: str) -> str:
    interval = estimate(row[name], row[f"{name}_low"], row[f"{name}_high"]).partition(" ")[2]
    return f"{signed(row[name])} {interval}"


def _from_difference(prompt: str, before: str) -> str:
    """A prompt without the lines at its beginning that another has too."""
    own, other = prompt.split("\n"), before.split("\n")
    same = next((n for n, (one, two) in enumerate(zip(own, other, strict=False)) if one != two), 0)
    return "\n".join(["…", *own[same:]]) if same else prompt


def _lines(text: str) -> str:
    """A text with its lines; each is cut where it is very long."""
    return "\n".join(excerpt(line, _LINE) for line in text.strip().splitlines())
