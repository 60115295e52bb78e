"""Paragraphs on induced shifts: does the probe follow the choices, more than the words do, and do the prompts work."""

from __future__ import annotations

from typing import Any

import polars as pl

from personascope.measures.shifts import KNOWN
from personascope.report.findings import excludes_zero
from personascope.report.findings_sharing import BEFORE, ENCODER, PROBE, RANDOM, best_shift_layer, best_stimulus_layer
from personascope.report.wording import (
    count,
    estimate,
    interval,
    listed,
    number,
    pretty,
    probability,
    share,
    signed,
    spread,
)

Q_LEVEL = 0.05
_MEASURES = {"choice": "choice", PROBE: "probe", ENCODER: "sentence embeddings"}
_SETS = {"all": "Over all tasks", "on_target": "on target", "off_target": "off target", "opposed": "pulled both ways"}


def correlations(frame: pl.DataFrame) -> list[str]:
    """Per design: r of score and choice over all tasks, on and off target, against words and random directions."""
    layer = best_shift_layer(frame)
    here = frame.filter((pl.col("layer") == layer) & (pl.col("statistic") == "pearson")).drop_nulls("value")
    if not here.height:
        return ["No shift of scores could be compared with one of choices."]
    first = (
        f"All values are those of layer {layer}, where the probe's shifts go best with those of choices over all tasks "
        "(picked on the same data, so optimistic). Whatever sees the prompt name a subject can follow the choice on "
        "target, sentence embeddings as well; it is r over all tasks that tells a probe from such a reader."
    )
    return [first, *(_design(part) for part in here.partition_by("design", maintain_order=True))]


def levels(frame: pl.DataFrame) -> list[str]:
    """Whether scores under a prompt go with what is chosen under it more than the choices without it do."""
    layer = best_shift_layer(frame)
    kept = (pl.col("layer") == layer) & (pl.col("statistic") == "pearson") & (pl.col("cells") == "all")
    here = frame.filter(kept).drop_nulls("value")
    texts = []
    for part in here.partition_by("design", maintain_order=True):
        rows = {row["scorer"]: row for row in part.iter_rows(named=True)}
        if PROBE not in rows or KNOWN not in rows:
            continue
        probe, known = rows[PROBE], rows[KNOWN]
        more = probe["difference_low"] is not None and probe["difference_low"] > 0
        texts.append(
            f"{pretty(part['design'][0])}: probe {estimate(probe['value'], probe['low'], probe['high'])}, choices "
            f"without the prompt {number(known['value'])} ({'' if more else 'not '}shown to be less)"
        )
    if not texts:
        return ["Scores under prompts could not be compared with choices under them."]
    return [
        f"Not shifts but values: r over all prompts and tasks of what is chosen under a prompt, at layer {layer}, with "
        f"the probe's score under it and with the choices without it. {'; '.join(texts)}."
    ]


def targets(frame: pl.DataFrame) -> list[str]:
    """The manipulation check: do the prompts move choices, and more than a mention does?"""
    choices = frame.filter((pl.col("measure") == "choice") & (pl.col("layer") == frame["layer"][0])).drop_nulls("mean")
    texts = []
    for part in choices.partition_by("design", maintain_order=True):
        rows = {row["contrast"]: row for row in part.iter_rows(named=True)}
        name = pretty(part["design"][0])
        if "directed" in rows:
            row = rows["directed"]
            moved = row["low"] is not None and row["low"] > 0
            verdict = "the prompts move choices as meant" if moved else "the prompts are not shown to move choices"
            texts.append(
                f"{name}: {verdict}, by {estimate(row['mean'], row['low'], row['high'])} logits on target "
                f"({probability('p', row['p'])}, n = {row['n']} cells){_beyond_mention(rows)}."
            )
    if not texts:
        return ["No choice on target has a shift."]
    return [
        " ".join(texts),
        "Where choices do not move, nothing can be said of a probe that does not follow them.",
    ]


def ranks(frame: pl.DataFrame) -> list[str]:
    """How often the target of a biography moves most, against chance."""
    known = frame.drop_nulls("share")
    if known.is_empty():
        return ["No target of a biography could be ranked."]
    texts = []
    for measure, text in _MEASURES.items():
        own = known.filter(pl.col("measure") == measure)
        if own.is_empty():
            continue
        row = own.sort("share", descending=True, maintain_order=True).row(0, named=True)
        null = max(row["chance"] or 0.0, row["null_first"] or 0.0)
        beyond = row["low"] is not None and row["low"] > null
        where = f" at its best layer, {row['layer']} (optimistic)" if measure == PROBE and own.height > 1 else ""
        texts.append(
            f"by {text}{where}, it moves most in {row['first']} of {row['n']}, {interval(row['low'], row['high'])} of "
            f"them, {'above' if beyond else 'not above'} what chance gives"
        )
    row = known.row(0, named=True)
    others = known["null_first"].drop_nulls()
    return [
        f"Each biography loves or hates one of {row['n_tasks']} tasks: {'; '.join(texts) or 'no measure was ranked'}. "
        f"Chance is {number(row['chance'])}; the targets of other biographies come first in a share of "
        f"{spread(others)} (n = {row['n_subjects']} targets)."
    ]


def effects(frame: pl.DataFrame) -> list[str]:
    """Per set: at the best layer, how far the labels lie apart under each persona, beside words and chance."""
    layer = best_stimulus_layer(frame)
    probe = frame.filter((pl.col("scorer") == PROBE) & (pl.col("layer") == layer)).drop_nulls("d_paired")
    if probe.is_empty():
        return ["No score tells labels apart: there is no effect with a value."]
    words = {
        (row["set"], row["turn"], row["persona"]): row["d_paired"]
        for row in frame.filter(pl.col("scorer") == ENCODER).iter_rows(named=True)
    }
    first = (
        f"At layer {layer}, where the probe tells labels apart most (picked on the same data, so optimistic), effects "
        "are mean differences between labels in standard deviations of the first persona."
    )
    return [first, *(_set(part, words) for part in probe.partition_by("set", maintain_order=True))]


def differences(frame: pl.DataFrame) -> list[str]:
    """Whether personas change what the probe makes of the texts."""
    known = frame.filter(pl.col("scorer") == PROBE).drop_nulls("difference")
    if known.is_empty():
        return ["No two personas could be compared on the same texts."]
    off, flips = known.filter(pl.col("q") < Q_LEVEL).height, known.filter(pl.col("flips").fill_null(value=False))
    top = known.sort(pl.col("difference").abs(), descending=True, maintain_order=True).row(0, named=True)
    turned = (
        f"in {flips.height} the two effects are clear and have opposite signs "
        f"({listed(list(dict.fromkeys(pretty(name) for name in flips['persona'])))})"
        if flips.height
        else "in none are both effects clear and of opposite signs"
    )
    return [
        f"{off} of {known.height} comparisons of a persona with {pretty(top['reference'])} (all sets, "
        f"turns and layers) differ at q < .05, and {turned}. The largest difference is "
        f"{signed(top['difference'])} {interval(top['low'], top['high'])} for {pretty(top['persona'])} on "
        f"{pretty(top['set']).lower()} ({pretty(top['turn']).lower()}, layer {count(top['layer'])}), "
        f"{number(top['d_persona'])} against {number(top['d_reference'])}, n = {count(top['n'])}; it is the largest of "
        f"{known.height}, so optimistic."
    ]


def _design(part: pl.DataFrame) -> str:
    scorers = {(row["scorer"], row["cells"]): row for row in part.iter_rows(named=True)}
    texts = []
    for cells, text in _SETS.items():
        probe = scorers.get((PROBE, cells))
        if probe is None:
            continue
        words = scorers.get((ENCODER, cells))
        beside = "" if words is None else f" (sentence embeddings {number(words['value'])})"
        low = probe["low"], probe["high"]
        texts.append(
            f"{text} r = {estimate(probe['value'], *low)}{beside}, {probability('p', probe['p'])}, n = {probe['n']}"
        )
    name = pretty(part["design"][0])
    if not texts:
        return f"{name}: no shift of the probe's scores goes with one of choices that varies."
    verdicts = [_against_words(scorers, cells) for cells in ("all", "on_target")]
    random = [
        abs(row["value"]) for (scorer, cells), row in scorers.items() if scorer.startswith(RANDOM) and cells == "all"
    ]
    probe = scorers.get((PROBE, "all"))
    if random and probe is not None:
        above = "above" if probe["value"] > max(random) else "not above"
        verdicts.append(
            f"over all tasks it is {above} the largest of {len(random)} random directions ({number(max(random))})"
        )
    return f"{name}: {'; '.join(texts)} cells. {_sentence([text for text in verdicts if text])}".strip()


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}. " if text else ""


def _against_words(scorers: dict[Any, dict[str, Any]], cells: str) -> str:
    row = scorers.get((PROBE, cells))
    if row is None or row["difference"] is None:
        return ""
    where = "over all tasks" if cells == "all" else "on target"
    ends = f"{signed(row['difference'])} {interval(row['difference_low'], row['difference_high'])}"
    if row["difference_low"] is not None and row["difference_low"] > 0:
        return f"{where} the probe goes beyond sentence embeddings ({ends})"
    if row["difference_high"] is not None and row["difference_high"] < 0:
        return f"{where} sentence embeddings follow the choices better than the probe ({ends})"
    return f"{where} the probe is not shown to go beyond sentence embeddings ({ends})"


def _beyond_mention(rows: dict[str, dict[str, Any]]) -> str:
    found = [rows[name] for name in ("toward - mention", "mention - away") if name in rows]
    if not found:
        return ""
    kept = [row for row in found if row["low"] is not None and row["low"] > 0]
    values = listed(
        [f"{pretty(row['contrast']).lower()} {estimate(row['mean'], row['low'], row['high'])}" for row in found]
    )
    return f"; beyond a mere mention {values} (an interval above 0 in {len(kept)} of {len(found)})"


def _set(found: pl.DataFrame, words: dict[tuple[Any, ...], float | None]) -> str:
    is_before = pl.col("turn").str.starts_with(BEFORE)
    part, before = found.filter(~is_before), found.filter(is_before)
    clear = part.filter(excludes_zero())
    chance = part.filter(pl.col("random_d95").is_not_null())
    beyond = chance.filter(pl.col("d_paired").abs() > pl.col("random_d95")).height
    top = part.sort(pl.col("d_paired").abs(), descending=True, maintain_order=True).row(0, named=True)
    by_words = [words.get((row["set"], row["turn"], row["persona"])) for row in part.iter_rows(named=True)]
    sizes = zip(part["d_paired"].abs().to_list(), by_words, strict=True)
    above = [size > abs(word) for size, word in sizes if word is not None]
    text = (
        f"{pretty(part['set'][0])}: {share(clear.height, part.height)} effects (turn × persona) have an interval that "
        f"excludes 0; the largest is {signed(top['d_paired'])} {interval(top['low'], top['high'])} "
        f"({pretty(top['persona'])}, {pretty(top['turn']).lower()}, n = {count(top['n'])})."
    )
    if chance.height:
        text += (
            f" {share(beyond, chance.height).capitalize()} are larger than the 95th percentile of random directions."
        )
    else:
        text += " There are no random directions to compare with."
    if above:
        text += f" {share(sum(above), len(above)).capitalize()} are larger than those of sentence embeddings."
    if before.height:
        told = share(before.filter(excludes_zero()).height, before.height)
        text += f" Before the reply, where only questions can differ, {told} have an interval that excludes 0."
    return text
