"""Paragraphs on what personas share: transfer freed of errors and words, who gives and receives, whose preference."""

from __future__ import annotations

import polars as pl

from personascope.report import sentences_causal
from personascope.report.findings import excludes_zero, other_pairs
from personascope.report.findings_sharing import Place, at, bias_role, highest
from personascope.report.wording import count_range, estimate, interval, number, plural, pretty, share, signed, spread

_ERRORS = (
    "Utilities have errors, which lower the correlation of two personas' utilities more than that of a probe with one "
    "of them, so a small difference above 0 is expected without any sharing"
)
_PICKED = "picked on the same data, so optimistic"


def transfer(frame: pl.DataFrame) -> list[str]:
    """Transfer against the utilities, then corrected for their errors, then against the words alone."""
    found = sentences_causal.transfer(frame)
    pairs = other_pairs(frame)
    return found if pairs.is_empty() else [*found, *_against_errors_and_words(pairs, "utilities")]


def facet_transfer(frame: pl.DataFrame) -> list[str]:
    """Whether probes of one persona's keyed answers read those of another beyond what the answers share."""
    pairs = other_pairs(frame)
    if pairs.is_empty():
        return ["No probe of answers was tested on another persona."]
    place = highest(pairs, pl.col("r"))
    here = at(pairs, place)
    more = here.filter(pl.col("difference_low") > 0).height
    verdict = (
        f"in {share(more, here.height)} pairs it is above them, with an interval above 0"
        if more
        else "in no pair is it above them with an interval above 0, so nothing here shows one code for traits beyond "
        "answers that agree"
    )
    return [
        f"Probes of keyed answers, facets held out: at {_where(place)} ({_PICKED}) mean r on another persona is "
        f"{_mean(here, 'r')} over {here.height} ordered pairs, where the answers themselves correlate at "
        f"{_mean(here, 'utility_r')}; {verdict}. An interval of r lies above 0 in "
        f"{_above(here, 'low')} of {here.height} pairs (n = {here['n'][0]} items)."
    ]


def gaps(frame: pl.DataFrame) -> list[str]:
    """Which pairs transfer better one way than the other."""
    place = highest(frame, (pl.col("r_first_to_second") + pl.col("r_second_to_first")) / 2)
    here = at(frame, place).drop_nulls("gap")
    if here.is_empty():
        return ["No gap between the two ways of a transfer has a value."]
    off = here.filter(excludes_zero("gap_low", "gap_high")).height
    top = here.sort(pl.col("gap").abs(), descending=True, maintain_order=True).row(0, named=True)
    names = pretty(top["first"]), pretty(top["second"])
    return [
        f"Transfer is better one way than the other, with an interval that excludes 0, in {off} of {here.height} "
        f"{plural('pair', here.height)} of personas (about {number(0.05 * here.height, 1)} would by chance). "
        f"The largest gap at {_where(place)}: {names[0]} to {names[1]} r = "
        f"{number(top['r_first_to_second'])}, {names[1]} to {names[0]} {number(top['r_second_to_first'])}, a gap of "
        f"{signed(top['gap'])} {interval(top['gap_low'], top['gap_high'])}, n = {top['n']}. It is the largest of "
        f"{here.height}, so optimistic."
    ]


def means(frame: pl.DataFrame) -> list[str]:
    """Whose probe reads others best, and who is read best."""
    place = highest(frame, pl.col("outbound"))
    here = at(frame, place)
    texts = []
    for name, text in (("outbound", "The probe that reads the others best is that of"), ("inbound", "Read best is")):
        known = here.drop_nulls(name).sort(name, descending=True, maintain_order=True)
        if known.height:
            top, low = known.row(0, named=True), known.row(-1, named=True)
            ends = (estimate(*(row[name + end] for end in ("", "_low", "_high"))) for row in (top, low))
            texts.append(
                f"{text} {pretty(top['persona'])}, mean r = {next(ends)}, and worst that of {pretty(low['persona'])}, "
                f"{next(ends)}."
                if name == "outbound"
                else f"{text} {pretty(top['persona'])}, {next(ends)}, and worst {pretty(low['persona'])}, {next(ends)}."
            )
    if not texts:
        return ["No persona has a mean over the others."]
    off = here.filter(excludes_zero("gap_low", "gap_high")).height
    verdict = f"{share(off, here.height)} personas differ in the two with an interval that excludes 0"
    return [f"At {_where(place)}: {' '.join(texts)} {verdict.capitalize()} (n = {here['n'][0]})."]


def cosines(frame: pl.DataFrame) -> list[str]:
    """Whether the probes of two personas point the same way."""
    known = frame.drop_nulls(["cosine", "null_high"])
    if known.is_empty():
        return ["No cosine of two probes has random directions to be compared with."]
    beyond = known.filter(pl.col("cosine").abs() > pl.col("null_high"))
    along = beyond.filter(pl.col("cosine") > 0).height
    return [
        f"Of {known.height} cosines of probes of two personas (both orders, {known['layer'].n_unique()} layers) "
        f"{beyond.height} lie beyond the 95th percentile of random directions, {along} of them in the same direction; "
        f"about {round(0.05 * known.height)} would by chance. They run from {spread(known['cosine'])}. Probes that "
        "read the same thing can point apart where activations are correlated."
    ]


def bias(frame: pl.DataFrame) -> list[str]:
    """Whether transferred predictions follow the persona that is read or the one that was trained on."""
    frame = frame.with_columns(role=bias_role())
    place = highest(frame.filter(pl.col("role") == "read"), pl.col("r")) if "read" in set(frame["role"]) else None
    here = at(frame, place or (frame["layer"][0], frame["position"][0])).drop_nulls("r")
    by_role = {str(role): part for (role,), part in here.group_by("role", maintain_order=True)}
    if not by_role:
        return ["No correlation of transferred predictions has a value."]
    texts = []
    if {"read", "trained"} <= by_role.keys():
        read, trained = (_average(by_role[role], "r") or 0.0 for role in ("read", "trained"))
        above = _above(by_role["read"], "low")
        verdict = (
            "they do not follow the persona that is read in any pair (no interval above 0)"
            if not above
            else "they follow the persona that is read more"
            if read > trained
            else "they follow the persona that is read no more than the one trained on"
        )
        texts.append(
            f"Over {by_role['read'].height} ordered pairs, transferred predictions correlate at {number(read)} on "
            f"average with the utilities of the persona that is read and at {number(trained)} with those of the one "
            f"trained on: {verdict}."
        )
    for role, text in (
        ("partial trained", "Given the utilities of the persona that is read, what is left for the one trained on"),
        ("double partial", "Given those of both, what is left for any third persona"),
    ):
        if role in by_role:
            part = by_role[role]
            above, below = _above(part, "low"), part.filter(pl.col("high") < 0).height
            texts.append(
                f"{text} is {_mean(part, 'r')} on average; {above} of {part.height} intervals lie above 0 and "
                f"{below} below."
            )
    where = _where((here["layer"][0], here["position"][0]))
    return [
        f"At {where}: {' '.join(texts)} What noisy utilities leave in is not taken out, so a partial correlation "
        "somewhat above 0 is expected of a probe that reads nothing but preference."
    ]


def matched(frame: pl.DataFrame) -> list[str]:
    """Preference against identity where two personas agree."""
    own = frame.filter(pl.col("direction") == "preference")
    place = highest(own if own.height else frame, pl.col("r"))
    here = at(frame, place)
    texts = []
    for name, text in (("preference", "the preference direction of both"), ("identity", "the identity direction")):
        part = here.filter(pl.col("direction") == name)
        if part.is_empty():
            continue
        off = part.filter(excludes_zero("offset_low", "offset_high")).height
        size = _average(part.with_columns(pl.col("offset").abs()), "offset")
        texts.append(
            f"differences along {text} go with those of the utilities at a mean r of {_mean(part, 'r')} "
            f"({_above(part, 'low')} of {part.height} intervals above 0), and on matched tasks the two personas lie "
            f"{number(size)} apart (mean size; {off} of {part.height} intervals exclude 0)"
        )
    if not texts:
        return ["No direction was compared on matched tasks."]
    reads = _above(here.filter(pl.col("direction") == "preference"), "low")
    verdict = (
        "A direction of preference has the first and not the second, one of identity the second."
        if reads
        else "The preference direction follows the utilities in no pair, so it does not show here that it reads "
        "preference."
    )
    n = here["n_matched"]
    return [
        f"At {_where(place)}, over {here.select('first', 'second').n_unique()} pairs of personas: "
        f"{'; '.join(texts)}. {verdict} Matched are {count_range(n)} tasks a pair."
    ]


def diversity(frame: pl.DataFrame) -> list[str]:
    """Whether more personas to train on help to read a new one."""
    known = frame.drop_nulls("r")
    if known.is_empty():
        return ["No probe was trained on several personas and tested on another."]
    place = highest(known, pl.col("r"))
    here = at(known, place)
    few, many = (here.filter(pl.col("n_personas") == end) for end in (pl.min("n_personas"), pl.max("n_personas")))
    counts = few["n_personas"][0], many["n_personas"][0]
    first, last, own, shared = (
        _average(part, name) for part, name in ((few, "r"), (many, "r"), (many, "own_r"), (many, "utility_r"))
    )
    above = _above(many, "difference_low")
    rise = "rises" if (last or 0.0) > (first or 0.0) else "does not rise"
    return [
        f"At {_where(place)}, with {count_range(here['n_rows'])} training rows whatever the number of personas, "
        f"mean r on a persona never trained on {rise} from {number(first)} (trained on {counts[0]}) to {number(last)} "
        f"(on {counts[1]}, where {_above(many, 'low')} of {many.height} intervals lie above 0). A probe "
        f"of the persona's own reaches {number(own)} on average, the utilities of those trained on {number(shared)}; "
        f"the probe of most personas is above these utilities, with an interval of the difference above 0, for {above} "
        f"of {many.height} personas. The rise itself has no interval."
    ]


def tracking(frame: pl.DataFrame) -> list[str]:
    """Whether the first persona's probe, and what is left once its direction is removed, follows the others."""
    known = frame.drop_nulls("r")
    if known.is_empty():
        return ["No removed direction was followed to another persona."]
    place = highest(known.filter(step=0), pl.col("r"))
    here = at(known, place)
    steps = []
    for step, part in here.sort("step").group_by("step", maintain_order=True):
        above, more = _above(part, "low"), _above(part, "difference_low")
        steps.append(
            f"after {step[0]} {plural('removal', int(step[0]))} mean r is {_mean(part, 'r')} ({above} of {part.height} "
            f"intervals above 0, {more} above the correlation of the utilities)"
        )
    return [
        f"At {_where(place)}, the probe of {pretty(here['train'][0])} on other personas, with the directions that it "
        f"found before taken out: {'; '.join(steps)}. The utilities alone correlate at {_mean(here, 'utility_r')}."
    ]


def _against_errors_and_words(pairs: pl.DataFrame, what: str) -> list[str]:
    here = at(pairs, highest(pairs, pl.col("r")))
    texts = []
    corrected = here.drop_nulls("difference_corrected") if "difference_corrected" in here.columns else here.clear()
    if corrected.is_empty():
        texts.append(f"{_ERRORS}; there are no reliabilities to correct with.")
    else:
        above = _above(corrected, "difference_corrected_low")
        verdict = (
            f"{share(above, corrected.height)} pairs have an interval of the corrected difference above 0"
            if above
            else "no pair has an interval of the corrected difference above 0"
        )
        texts.append(
            f"{_ERRORS}. Corrected for the unreliability of the {what}, mean r is {_mean(corrected, 'r_corrected')} "
            f"and that of the {what} {_mean(corrected, 'utility_r_corrected')} over {corrected.height} pairs; "
            f"{verdict}."
        )
    encoder = here.drop_nulls(["encoder_r", "over_encoder"]) if "encoder_r" in here.columns else here.clear()
    if encoder.is_empty():
        return [*texts, "There is no encoder to compare with, so what the words alone would give is not known."]
    above = _above(encoder, "over_encoder_low")
    below = encoder.filter(pl.col("over_encoder_high") < 0).height
    verdict = (
        f"the probe is above it in {share(above, encoder.height)} pairs, with a paired interval above 0"
        if above
        else "in no pair is the probe above it with a paired interval above 0, so nothing here goes beyond the words"
    )
    return [
        *texts,
        f"The same transfer from sentence embeddings of system prompt and task has a mean r of "
        f"{_mean(encoder, 'encoder_r')}; {verdict}. It is below it, likewise, in {below}.",
    ]


def _where(place: Place) -> str:
    return f"layer {place[0]} (position {place[1]})"


def _above(frame: pl.DataFrame, low: str) -> int:
    return frame.filter(pl.col(low) > 0).height


def _average(frame: pl.DataFrame, name: str) -> float | None:
    values = frame[name].drop_nulls().to_list()
    return sum(values) / len(values) if values else None


def _mean(frame: pl.DataFrame, name: str) -> str:
    return number(_average(frame, name))
