"""Synthetic tables of a whole study, with the column names and the sizes of effects of a small model's run."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
from elicitation_tables import elicitation_tables
from interview_tables import CODED as INTERVIEW_CODED
from interview_tables import interview_tables
from organism_tables import CODED as ORGANISM_CODED
from organism_tables import organism_tables
from responder_tables import CODED as RESPONDER_CODED
from responder_tables import responder_tables
from sharing_tables import CODED, sharing_tables
from statistics_tables import statistics_tables
from steering_tables import CODED as STEERING_CODED
from steering_tables import steering_tables
from sweep_tables import probe_numbers, sweep_tables
from tuning_tables import CODED as TUNING_CODED
from tuning_tables import tuning_tables

HEXACO = ["self", "meta", "helpful", "placebo", "evil"]
CHOOSERS = ["assistant", "evil", "mathematician", "poet", "slacker"]
CONTRASTS = ["meta - self", "helpful - self", "placebo - self"]
FACETS = {
    "H": ["sincerity", "fairness", "greed_avoidance", "modesty"],
    "E": ["fearfulness", "anxiety", "dependence", "sentimentality"],
    "X": ["social_self_esteem", "social_boldness", "sociability", "liveliness"],
    "A": ["forgivingness", "gentleness", "flexibility", "patience"],
    "C": ["organization", "diligence", "perfectionism", "prudence"],
    "O": ["aesthetic_appreciation", "inquisitiveness", "creativity", "unconventionality"],
    None: ["altruism"],
}
TOPICS = ["math", "coding", "poetry", "fiction", "advice", "planning", "persuasive_writing", "harmful_request"]
LAYERS = list(range(0, 30, 3))
SCRIPT = "</script><script>window.hacked = 1; alert(1)</script>"
IMAGE = '<img src=x onerror="window.hacked = 1">'


def synthetic_tables() -> dict[str, pl.DataFrame]:
    return dict(_tables())


@cache
def _tables() -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(7)
    hexaco = _hexaco(rng)
    shared = {**_preferences(rng), **_probes(rng), "steering": _steering(rng), **_study(rng)}
    statistics = statistics_tables(hexaco, rng)
    facets = [facet for group in FACETS.values() for facet in group]
    sweep = sweep_tables(np.random.default_rng(11), TOPICS, facets)
    found = {**hexaco, **shared, **statistics, **sweep, **elicitation_tables(shared["utilities"], rng)}
    steering = steering_tables(CHOOSERS[:2], facets)
    sharing = sharing_tables(shared["transfer"], CHOOSERS, HEXACO, rng)
    checked = {**organism_tables(CHOOSERS[:3], TOPICS), **interview_tables(), **responder_tables()}
    return {**found, **sharing, **steering, **tuning_tables(facets), **checked}


def _hexaco(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    shift = {"self": 0.03, "meta": 0.16, "helpful": 0.12, "placebo": 0.02, "evil": -0.22}
    facets, domains, contrasts, items, quality = [], [], [], [], []
    base = {facet: rng.normal(0, 0.09) for group in FACETS.values() for facet in group}
    for persona in HEXACO:
        for domain, group in FACETS.items():
            traits = []
            for facet in group:
                trait = base[facet] + shift[persona] + rng.normal(0, 0.05)
                width = abs(rng.normal(0.09, 0.02))
                yes = 0.24 + rng.normal(0, 0.05)
                traits.append(trait)
                facets.append((persona, facet, domain, trait, trait - width, trait + width, yes, 8))
                items += [_item(rng, persona, facet, number, trait, yes) for number in range(8)]
            if domain:
                mean = float(np.mean(traits))
                domains.append((persona, domain, mean, mean - 0.05, mean + 0.05))
        quality.append((persona, 0.93 - 0.1 * rng.random(), 0.11 + 0.05 * rng.random(), 0.24, 0.31, 200))
    for contrast in CONTRASTS:
        for facet in base:
            gap = shift[contrast.split(" - ")[0]] - shift["self"] + rng.normal(0, 0.04)
            p = float(np.exp(-abs(gap) * 40))
            contrasts.append(
                (contrast, facet, gap, gap - 0.07, gap + 0.07, p, min(1.0, 1.8 * p), gap + 0.02, -gap + 0.02, 8)
            )
    items[0] = {**items[0], "text": SCRIPT}
    items[1] = {**items[1], "text": IMAGE}
    rows = {
        "hexaco_facets": (facets, "persona facet domain trait low high acquiescence n_items"),
        "hexaco_domains": (domains, "persona domain trait low high"),
        "hexaco_contrasts": (
            contrasts,
            "contrast facet difference low high p q difference_positive difference_negative n",
        ),
        "hexaco_quality": (quality, "persona label_mass order_bias acquiescence key_consistency n"),
    }
    return {name: table(*spec) for name, spec in rows.items()} | {"hexaco_items": pl.DataFrame(items)}


def _item(rng, persona, facet, number, trait, yes) -> dict:
    key = 1 if number % 2 == 0 else -1
    words = facet.replace("_", " ")
    text = f"I would say that {words} is {'a large' if key > 0 else 'no'} part of how I go about things, case {number}."
    return {
        "persona": persona,
        "item": f"{facet}_{number}",
        "facet": facet,
        "key": key,
        "text": text,
        "agreement": float(np.clip(yes + key * trait + rng.normal(0, 0.14), -1, 1)),
        "order_bias": float(rng.normal(0.1, 0.05)),
        "label_mass": float(np.clip(rng.normal(0.92, 0.03), 0, 1)),
    }


def _preferences(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    common = rng.normal(0, 0.35, (len(TOPICS), 10))
    liking = {persona: rng.normal(0, 0.35, len(TOPICS)) for persona in CHOOSERS}
    utilities, quality, values = [], [], {}
    for persona in CHOOSERS:
        value = common + liking[persona][:, None] + rng.normal(0, 0.25, common.shape)
        values[persona] = value = value - value.mean()
        for topic, row in zip(TOPICS, value, strict=True):
            for number, utility in enumerate(row):
                text = (
                    f"Write something about {topic.replace('_', ' ')} that takes case {number} into account, in full."
                )
                utilities.append((persona, f"{topic}_{number}", topic, text, float(utility), 0.12))
        bias = 2.6 - 0.5 * rng.random()
        quality.append((persona, bias, bias - 0.1, bias + 0.1, 0.94, 0.88, 0.13 + 0.1 * rng.random(), 0.8, 0.72, 0.86))
    task = utilities[0]
    utilities[0] = (*task[:3], SCRIPT, *task[4:])
    correlations = []
    for one in CHOOSERS:
        for other in CHOOSERS:
            r = float(np.corrcoef(values[one].ravel(), values[other].ravel())[0, 1])
            correlations.append((one, other, r, max(-1.0, r - 0.15), min(1.0, r + 0.15), 80))
    return {
        "utilities": table(utilities, "persona task topic text utility se"),
        "preference_quality": table(
            [(*row, 240) for row in quality],
            "persona order_bias order_bias_low order_bias_high flip_share label_mass sd_log_odds "
            "split_half split_half_low split_half_high n_pairs",
        ),
        "utility_correlations": table(correlations, "persona_x persona_y r low high n"),
    }


def _probes(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    curves, transfer, cosines = [], [], []
    kinds = [("utility", CHOOSERS, "r", 0.5), ("item score", HEXACO, "r", 0.35), ("choice", ["all"], "accuracy", 0.64)]
    kinds.append(("persona identity", ["all"], "accuracy", 0.97))
    for target, personas, metric, height in kinds:
        chance = 0.0 if metric == "r" else 0.5 if target == "choice" else 0.2
        for persona in personas:
            for position in ("eot", "answer") if target != "choice" else ("answer",):
                for layer in LAYERS:
                    rise = 1 - np.exp(-layer / 7)
                    value = min(0.9, float(chance + (height - chance) * rise + rng.normal(0, 0.02)))
                    words = chance + 0.3 * (height - chance) + 0.1
                    place = {"target": target, "persona": persona, "position": position, "layer": layer}
                    numbers = probe_numbers(value, chance=chance, words=words, n=240) | {"metric": metric}
                    curves.append(place | numbers | ({} if metric == "r" else {"within_group": None}))
    for layer in LAYERS:
        for train in CHOOSERS:
            for test in CHOOSERS:
                same = train == test
                base = 1.0 if same else float(rng.normal(0.35, 0.1))
                r = float(np.clip((0.5 if same else 0.3) * (1 - np.exp(-layer / 7)) + rng.normal(0, 0.05), -1, 1))
                gap = r - base
                transfer.append((train, test, layer, "eot", r, r - 0.1, r + 0.1, base, gap, gap - 0.1, gap + 0.1, 240))
                cosines.append((train, test, layer, float(rng.normal(0.12 if same else 0.0, 0.06)), 0.11))
    return {
        "probes": pl.DataFrame(curves, infer_schema_length=None),
        "transfer": table(
            transfer,
            "train test layer position r low high utility_r difference difference_low difference_high n",
        ),
        "direction_cosines": table(cosines, "direction other layer cosine null_high"),
    }


def _steering(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for target, read_out, middle, slope in (
        ("choice", "P(chooses steered task)", 0.5, 0.25),
        ("facet:patience", "facet score", 0.06, 0.3),
    ):
        for layer in (8, 13, 18, 23):
            for direction in ("probe", *(f"random {number}" for number in range(1, 6))):
                own = slope * (layer / 18) if direction == "probe" else float(rng.normal(0, 0.06))
                for coefficient in (-0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5):
                    value = middle + own * coefficient
                    mass = 0.95 - 0.5 * coefficient**2
                    rows.append(
                        (target, read_out, layer, coefficient, direction, value, value - 0.02, value + 0.02, 16, mass)
                    )
    return table(rows, "target read_out layer coefficient direction value low high n label_mass")


def _study(rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    facets = [facet for group in FACETS.values() for facet in group]
    bias, curve, residuals, short, models = [], [], [], [], []
    sizes = {"label_mass": 0.93, "trait": 0.1, "acquiescence": 0.24, "order_bias": 0.11, "sign_flips": 0.2}
    sizes |= {"desirability_r": 0.33, "midpoint_share": 0.4, "key_consistency": 0.31}
    for persona in HEXACO:
        for index, size in sizes.items():
            value = size + rng.normal(0, 0.02)
            flag = f"{index} {value:.2f} beyond its limit" if index == "acquiescence" else None
            bias.append((persona, index, value, value - 0.04, value + 0.04, 200, flag))
    for contrast in CONTRASTS:
        for domain in filter(None, FACETS):
            effects = np.sort(0.08 + rng.normal(0, 0.03, 6))
            keys = [(phrasing, order) for phrasing in "123" for order in ("ascending", "descending")]
            for rank, (place, effect) in enumerate(zip(rng.permutation(6), effects, strict=True), start=1):
                numbers = (float(effect), effect - 0.05, effect + 0.05, rank, bool(effects[0] > 0), 32, 0.5, 6)
                curve.append((contrast, domain, *keys[place], *numbers))
        for facet in facets:
            one, other = rng.normal(0.1, 0.04, 2)
            short.append((contrast, facet, one, other, other - one, 0.05, (other - one) / 0.05))
    for facet in facets:
        x, residual = rng.normal(0.1, 0.05), rng.normal(0, 0.02)
        residuals.append((facet, x, 1.1 * x + residual, residual, residual - 0.05, residual + 0.05))
    for kind, subjects in (("contrast", CONTRASTS), ("persona", HEXACO)):
        models += [(kind, subject, "big_model", "small-model", 0.4, 0.1, 0.7, 25) for subject in subjects]
    shares = {"persona": 0.07, "item": 0.31, "persona x item": 0.22, "item x order": 0.0, "persona x item x order": 0.4}
    fit = ("(meta - self) is 1.10 times (helpful - self).", 1.1, 0.8, 1.4, 0.9, 0.85, 0.95, 0.88, 25)
    return {
        "hexaco_bias": table(bias, "persona index value low high n flag"),
        "hexaco_specifications": table(
            curve, "contrast domain phrasing order difference low high rank robust n share_significant n_specifications"
        ),
        "hexaco_components": table(list(shares.items()), "component share"),
        "hexaco_just_helpful": table(
            [fit], "statement slope low high naive_slope cosine cosine_corrected reliability n_facets"
        ),
        "hexaco_just_helpful_residuals": table(residuals, "facet x y residual low high"),
        "hexaco_short_and_rest": table(short, "contrast facet short_difference rest_difference gap gap_se z"),
        "hexaco_between_models": table(models, "profile subject model_x model_y r low high n"),
    }


def of_two_models(tables: dict[str, pl.DataFrame], names: tuple[str, str] = ("big_model", "small-model")) -> dict:
    """The questionnaire's tables for two models with the same answers; other tables keep no column `model`."""
    return {
        name: pl.concat([frame.select(pl.lit(model).alias("model"), pl.all()) for model in names])
        if name.startswith("hexaco") and name != "hexaco_between_models"
        else frame
        for name, frame in tables.items()
    }


def table(rows: list[tuple], columns: str) -> pl.DataFrame:
    """A frame from rows and the names of their columns in one string."""
    return pl.DataFrame(rows, schema=columns.split(), orient="row", infer_schema_length=None)


def hostile_tables() -> dict[str, pl.DataFrame]:
    """The same tables with markup in every text: persona, facet, topic, target, read-out, item and task texts."""
    hostile = {}
    for name, frame in synthetic_tables().items():
        columns = [column for column, dtype in frame.schema.items() if dtype == pl.String]
        kept = {"domain", "metric", "index", "kind", "coefficient", "what", "slot", "end", "removed"}
        kept |= {"steering": {"direction"}, "hexaco_between_models": {"profile"}}.get(name, set())
        kept |= CODED.get(name, set()) | STEERING_CODED.get(name, set()) | TUNING_CODED.get(name, set())
        kept |= ORGANISM_CODED.get(name, set()) | INTERVIEW_CODED.get(name, set()) | RESPONDER_CODED.get(name, set())
        hostile[name] = frame.with_columns(
            pl.concat_str(pl.lit(IMAGE if column in ("text", "item") else "<b>"), column, pl.lit(SCRIPT)).alias(column)
            for column in columns
            if column not in kept
        )
    return hostile
