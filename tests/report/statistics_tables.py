"""The statistics of the synthetic study, computed by the measures themselves from small made-up answers."""

from __future__ import annotations

import numpy as np
import polars as pl

from personascope.measures.agreement import expected_against_sampled, variant_agreement
from personascope.measures.contrasts import paired_contrasts
from personascope.measures.equivalence import equivalence
from personascope.measures.generalizability import d_study, g_study
from personascope.measures.partial_effects import partial_effects
from personascope.measures.power import contrast_power
from personascope.measures.reliability import correlate
from personascope.measures.shrinkage import shrunken_contrasts

PAIRS = (("meta", "self"), ("helpful", "self"), ("placebo", "self"))
VARIANTS = {
    "7 digits": (0.03, 0.02, 0.9),
    "5 letters": (0.12, 0.1, 0.4),
    "5 digits, wording extent": (0.06, -0.05, 0.8),
}
PHRASINGS = ("1", "2", "3")
QUICK = {"n_resamples": 200, "seed": 0}


def statistics_tables(hexaco: dict[str, pl.DataFrame], rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """The nine tables of statistics and of other ways of asking.

    Args:
        hexaco: tables hexaco_items (persona, item, facet, key, text, agreement) and hexaco_facets.
        rng: for what the answers to other wordings differ by.
    """
    items, facets = hexaco["hexaco_items"], hexaco["hexaco_facets"]
    contrasts = paired_contrasts(items, PAIRS, n_flips=200, **QUICK)
    answers = _orders(items, rng)
    wordings = pl.concat([_reworded(answers, rng).with_columns(phrasing=pl.lit(name)) for name in PHRASINGS])
    scores = pl.concat([_moved(facets, rng, "trait").with_columns(phrasing=pl.lit(name)) for name in PHRASINGS])
    crossed = wordings.select("persona", "item", "facet", "key", "phrasing", "order", "agreement")
    return {
        "hexaco_shrunken": shrunken_contrasts(contrasts),
        "hexaco_equivalence": equivalence(items, PAIRS, **QUICK),
        "hexaco_power": contrast_power(contrasts),
        "hexaco_adjusted": partial_effects(answers, PAIRS),
        "hexaco_icc": variant_agreement(scores, PAIRS),
        "hexaco_d_study": d_study(g_study(crossed), item=(4, 8, 20, 40), phrasing=(1, 2, 3, 5, 10), order=(2,)),
        "hexaco_variants": _variants(facets, rng),
        "hexaco_read_outs": _read_outs(items, rng),
        "hexaco_reasons": _reasons(items),
    }


def _moved(frame: pl.DataFrame, rng: np.random.Generator, column: str = "agreement") -> pl.DataFrame:
    noise = pl.Series(rng.normal(0, 0.06, frame.height))
    return frame.with_columns((pl.col(column) + noise).alias(column))


def _reworded(answers: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The answers to another wording, which moves each persona's facets as well as each answer."""
    cells = answers.unique(["persona", "facet"], maintain_order=True).select("persona", "facet")
    shifts = cells.with_columns(shift=pl.Series(rng.normal(0, 0.15, cells.height)))
    both = _moved(answers, rng).join(shifts, on=["persona", "facet"], maintain_order="left")
    return both.with_columns(pl.col("agreement") + pl.col("key") * pl.col("shift"))


def _orders(items: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Both anchor orders, with a desirability of each item that meta and helpful follow."""
    rated = items.unique("item", maintain_order=True).select("item", "key")
    ratings = np.clip(rated["key"].to_numpy() * 0.3 + rng.normal(0, 0.5, rated.height), -1, 1)
    desirability = rated.select("item", desirability=pl.Series(ratings))
    both = items.join(desirability, on="item", maintain_order="left")
    follows = pl.when(pl.col("persona").is_in(["meta", "helpful"])).then(0.1).otherwise(0.0)
    both = both.with_columns(pl.col("agreement") + follows * pl.col("desirability"))
    sides = (("ascending", 0.05), ("descending", -0.05))
    return pl.concat([both.with_columns(pl.col("agreement") + bias, order=pl.lit(name)) for name, bias in sides])


def _variants(facets: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    traits = {str(name): part["trait"].to_numpy() for (name,), part in facets.group_by("persona", maintain_order=True)}
    rows = []
    for variant, (noise, shift, mass) in VARIANTS.items():
        moved = {name: values + shift + rng.normal(0, noise, len(values)) for name, values in traits.items()}
        main = {("persona", name): (values, moved[name]) for name, values in traits.items()}
        main |= {("contrast", f"{a} - {b}"): (traits[a] - traits[b], moved[a] - moved[b]) for a, b in PAIRS}
        for (kind, profile), (x, y) in main.items():
            found = correlate(x, y, **QUICK)
            numbers = {"r": found.r, "low": found.low, "high": found.high, "mean_difference": float((y - x).mean())}
            label_mass = mass if kind == "persona" else None
            rows.append(
                {"variant": variant, "kind": kind, "profile": profile, **numbers, "n_facets": len(x)}
                | {"label_mass": label_mass}
            )
    return pl.DataFrame(rows, schema_overrides={"label_mass": pl.Float64}, infer_schema_length=None)


def _read_outs(items: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    asked = items.filter(pl.col("persona").is_in(["self", "meta"]))
    expected = asked.select("persona", "item", "agreement")
    tables = []
    for read_out, per_item, refused in (("sampled", 5, 0.02), ("reasoned", 1, 0.11)):
        silent = pl.Series(rng.random(expected.height) < refused)
        sampled = _moved(expected, rng).with_columns(agreement=pl.when(~silent).then("agreement"))
        counts = {"n_answers": pl.lit(per_item * 200), "value_share": pl.lit(0.97 - refused)}
        counts |= {"refusal_share": pl.lit(refused), "unparsed_share": pl.lit(0.03)}
        found = expected_against_sampled(expected, sampled, **QUICK)
        tables.append(found.select(pl.lit(read_out).alias("read_out"), pl.all(), **counts))
    return pl.concat(tables)


def _reasons(items: pl.DataFrame) -> pl.DataFrame:
    """Two samples of self and meta on two items of each of five facets; some refuse, some say nothing."""
    asked = items.filter(pl.col("persona").is_in(["self", "meta"]))
    facets = asked["facet"].unique(maintain_order=True).to_list()[:5]
    chosen = asked.filter(pl.col("facet").is_in(facets)).group_by("persona", "facet", maintain_order=True).head(2)
    rows = []
    for number, row in enumerate(chosen.iter_rows(named=True)):
        for sample in (0, 1):
            kind = ("value", "value", "refusal", "value", "unparsed")[(number + sample) % 5]
            words = f"I weighed what {row['facet']} asks of me before I settled on this. " * 5
            rows.append(
                {
                    **{name: row[name] for name in ("persona", "item", "facet", "key")},
                    **{"domain": "H", "statement": row["text"], "order": "ascending", "sample": sample, "kind": kind},
                    **{"value": 1 + number % 5 if kind == "value" else None, "why": "4 at the start"},
                    **{"wish": "It would be fairer." if row["persona"] == "meta" else ""},
                    **{"reasoning": "" if kind == "unparsed" else words, "text": f"4. {words}"},
                }
            )
    return pl.DataFrame(rows, schema_overrides={"value": pl.Int64}, infer_schema_length=None)
