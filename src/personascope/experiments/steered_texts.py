"""What a model writes under steering: choices that it begins to carry out, free answers, answers to a steered span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from personascope.activations.plan import Row
from personascope.activations.texts import Writing, collect_texts
from personascope.direction import Direction
from personascope.experiments.answer_judges import (
    AnswerJudge,
    EndpointAnswerJudge,
    LocalAnswerJudge,
    judge_answers,
)
from personascope.experiments.collecting import named
from personascope.experiments.elicitation import ChoiceMaterial
from personascope.experiments.judge_agreement import judge_agreement
from personascope.experiments.recipe_steering import OpenAnswersPart, SteeredChoicesPart
from personascope.experiments.rubrics import RUBRICS
from personascope.experiments.steered_choices import PUSHES, PushedPairs, Sweeper
from personascope.experiments.written_choices import choice_rows, read_choices
from personascope.instruments.open_prompts import OpenPrompt, load_open_prompts
from personascope.instruments.personas import Persona
from personascope.instruments.scenarios import SLOTS, VERSIONS, Scenario, load_scenarios
from personascope.measures.clustered_means import clustered_means
from personascope.measures.text_quality import text_quality
from personascope.models.endpoint import Endpoint
from personascope.models.engine import HookEngine
from personascope.models.intervention import Cell
from personascope.prompts.render import render
from personascope.prompts.templates import TASK_ALONE, Template
from personascope.steering.choice_read_outs import sampled_curve
from personascope.steering.coefficient_sweep import cell_of

FLAGGED = 3.0
"""From this level of disclosure on an answer at least hints at the problem."""
_CELL = ["layer", "direction", "control", "coefficient"]


@dataclass(frozen=True)
class NamedCell:
    """A cell of a study of texts: what is done, and the columns that say so."""

    cell: Cell
    layer: int
    direction: str
    control: str
    coefficient: float

    @property
    def meta(self) -> dict[str, str]:
        """As meta of a row."""
        return {name: str(getattr(self, name)) for name in _CELL}


def text_cells(
    engine: HookEngine,
    directions: Sequence[tuple[str, str, Direction]],
    coefficients: Sequence[float],
    where: Mapping[str, float],
) -> list[NamedCell]:
    """The unsteered cell once, then every named direction with every other coefficient."""
    probe = directions[0]
    steered = [
        NamedCell(cell_of(c * direction, where, engine), direction.layer, name, control, c)
        for name, control, direction in directions
        for c in sorted(value for value in coefficients if value != 0.0)
    ]
    return [NamedCell((), probe[2].layer, probe[0], probe[1], 0.0), *steered]


def write_under(
    sweeper: Sweeper, name: str, rows: Sequence[Row], cells: Sequence[NamedCell], writing: Writing
) -> pl.DataFrame:
    """Every row under every cell, written or found written; typed columns layer, direction, control, coefficient."""
    asked = [
        (Row(f"{row.id}/{number}", row.prompt, {**row.meta, **cell.meta}), cell.cell)
        for row in rows
        for number, cell in enumerate(cells)
    ]
    texts = collect_texts(
        [row for row, _ in asked],
        sweeper.engine,
        sweeper.run.store(name),
        writing,
        cells=[cell for _, cell in asked],
        progress=named(sweeper.progress, name),
    )
    return texts.with_columns(pl.col("layer").cast(pl.Int64), pl.col("coefficient").cast(pl.Float64))


def written_choice_table(
    sweeper: Sweeper,
    material: ChoiceMaterial,
    pushed: PushedPairs,
    directions: Sequence[tuple[str, str, Direction]],
    part: SteeredChoicesPart,
) -> pl.DataFrame:
    """Choices made by beginning the task under contrastive pushes: what is said, what is done, what is broken.

    Label and executed task are read at c from the first slot and at -c from the second, like the curve of label
    probabilities. Columns as `sampled_curve` and `clustered_means`.
    """
    numbers = np.linspace(0, len(pushed.pairs) - 1, min(part.pairs, len(pushed.pairs))).astype(int)
    pairs = [pushed.pairs[number] for number in dict.fromkeys(numbers.tolist())]
    tasks, place = material.pool.tasks, {task.id: number for number, task in enumerate(material.pool.tasks)}
    rows = choice_rows(sweeper.engine, material.choosers[:1], tasks, pairs)
    cells = text_cells(sweeper.engine, directions, part.coefficients, PUSHES["contrast"])
    writing = Writing(part.max_new_tokens, part.temperature, seed=sweeper.how["seed"])
    texts = write_under(sweeper, "written-choices", rows, cells, writing)
    pair = [str(sorted((place[row["first"]], place[row["second"]]))) for row in texts.iter_rows(named=True)]
    read = text_quality(read_choices(texts.drop("row"), tasks)).with_columns(pl.Series("pair", pair))
    tables = []
    for what, column in (("writes label of steered task", "label"), ("carries out steered task", "executed")):
        said = pl.when(pl.col(column).is_in(["a", "b"])).then(pl.col(column))
        here = read.select("pair", *_CELL, hit=said == "a")
        there = read.select("pair", *_CELL, hit=said == "b").with_columns(-pl.col("coefficient"))
        tables.append(sampled_curve(pl.concat([here, there]), f"P({what})"))
    broken = {"refuses": "refusal", "cut off": "truncated"}
    for what, column in broken.items():
        tables.append(sampled_curve(read.select("pair", *_CELL, hit=pl.col(column)), what))
    undecided = ~pl.col("outcome").is_in(["first", "second"])
    tables.append(sampled_curve(read.select("pair", *_CELL, hit=undecided), "no choice"))
    for what, column in (("repetition", "repetition"), ("words", "n_words")):
        means = clustered_means(read, column, by=_CELL, cluster="pair", **sweeper.how)
        tables.append(means.select(pl.lit(what).alias("read_out"), *means.columns))
    return pl.concat(tables, how="diagonal")


def judge_of(engine: HookEngine, part: OpenAnswersPart) -> AnswerJudge:
    """The judge that a recipe names: the model itself, or one behind an endpoint."""
    if part.judge == "local":
        return LocalAnswerJudge(engine)
    assert part.endpoint is not None
    assert part.endpoint_model is not None
    return EndpointAnswerJudge(Endpoint(part.endpoint, part.endpoint_model, temperature=0.0))


def open_prompts_of(part: OpenAnswersPart) -> tuple[OpenPrompt, ...]:
    """Questions about the self, then requests: as many of each as a recipe asks."""
    known = load_open_prompts()
    return (
        *known.subset(kind="self_reflection", n=part.reflections).prompts,
        *known.subset(kind="request", n=part.requests).prompts,
    )


def open_answer_rows(engine: HookEngine, personas: Sequence[Persona], prompts: Sequence[OpenPrompt]) -> list[Row]:
    """Every prompt to every persona; rows carry persona, prompt, kind, tier."""
    return [
        Row(
            f"{persona.name}/{prompt.id}",
            render(engine.tokenizer, TASK_ALONE, {"item": prompt.text}, system=persona.phrasings[0].system),
            {"persona": persona.name, "prompt": prompt.id, "kind": prompt.kind, "tier": prompt.tier or ""},
        )
        for persona in personas
        for prompt in prompts
    ]


def scenario_rows(engine: HookEngine, scenarios: Sequence[Scenario]) -> list[Row]:
    """Every message with its critical span and with the benign one; rows carry scenario, version."""
    return [
        Row(
            f"{scenario.id}/{version}",
            render(engine.tokenizer, Template(f"scenario-{scenario.id}", scenario.user), scenario.slots(version)),
            {"scenario": scenario.id, "version": version},
        )
        for scenario in scenarios
        for version in VERSIONS
    ]


def open_answer_tables(
    sweeper: Sweeper,
    personas: Sequence[Persona],
    directions: Sequence[tuple[str, str, Direction]],
    part: OpenAnswersPart,
) -> dict[str, pl.DataFrame]:
    """Free answers with every token steered, judged blind.

    Returns:
        "steered_judge" (whether the judge's two orders agree), "steered_open" (mean ratings), "steered_compliance"
        (shares of outcomes by tier) and "steered_answers" (texts).
    """
    prompts = open_prompts_of(part)
    rows = open_answer_rows(sweeper.engine, personas, prompts)
    cells = text_cells(sweeper.engine, directions, part.coefficients, {"all": 1.0})
    writing = Writing(part.max_new_tokens, part.temperature, seed=sweeper.how["seed"])
    worded = {prompt.id: prompt.text for prompt in prompts}
    texts = write_under(sweeper, "open-answers", rows, cells, writing)
    texts = texts.with_columns(question=pl.col("prompt").replace_strict(worded, return_dtype=pl.String))
    rubrics = [RUBRICS[name] for name in part.rubrics]
    asked = [*rubrics, RUBRICS["compliance"]]
    judge = judge_of(sweeper.engine, part)
    judged = text_quality(judge_answers(texts, judge, asked, answer="text", seed=sweeper.how["seed"]))
    agreement = judge_agreement(judged, asked, cluster="prompt", **sweeper.how)
    reads = dict(agreement.select("rubric", "reads").iter_rows())
    what = ["persona", "kind", "tier", *_CELL]
    whole = judged.with_columns(tier=pl.lit(""))
    ratings = []
    for rubric in rubrics:
        means = clustered_means(whole, f"{rubric.name}_rating", by=what, cluster="prompt", **sweeper.how)
        mass = whole.group_by(what, maintain_order=True).agg(label_mass=pl.col(f"{rubric.name}_mass").mean())
        means = means.join(mass, on=what, how="left", maintain_order="left")
        ratings.append(
            means.select(pl.lit(rubric.name).alias("rubric"), pl.all(), pl.lit(reads[rubric.name]).alias("reads"))
        )
    for name, column in (("refusal by words", "refuses"), ("repetition", "repetition"), ("words", "n_words")):
        means = clustered_means(whole, column, by=what, cluster="prompt", **sweeper.how)
        ratings.append(means.select(pl.lit(name).alias("rubric"), pl.all()))
    requests = judged.filter(pl.col("kind") == "request")
    return {
        "steered_judge": agreement,
        "steered_open": pl.concat(ratings, how="diagonal"),
        "steered_compliance": _compliance(requests).with_columns(reads=pl.lit(reads["compliance"])),
        "steered_answers": judged.select(
            *["persona", "kind", "tier", "question", *_CELL, "text", "finish"],
            *[f"{rubric.name}_rating" for rubric in rubrics],
            "compliance",
        ),
    }


def _compliance(requests: pl.DataFrame) -> pl.DataFrame:
    """Share of every outcome by persona, tier and cell, null verdicts left out; Wilson, prompts as observations."""
    names = RUBRICS["compliance"].names
    shares = [
        sampled_curve(
            requests.select("persona", "tier", *_CELL, pair="prompt", hit=pl.col("compliance") == name),
            name,
            by=("persona", "tier"),
        )
        for name in names
    ]
    renamed = {"read_out": "outcome", "value": "share"}
    return pl.concat(shares).rename(renamed).drop("label_mass", "n_answers")


def span_tables(
    sweeper: Sweeper,
    directions: Sequence[tuple[str, str, Direction]],
    part: OpenAnswersPart,
) -> dict[str, pl.DataFrame]:
    """Messages with a critical span or its benign twin, of which the critical or a neutral span is steered.

    Returns:
        "span_judge" (whether the judge's two orders agree) and "steered_spans": mean disclosure and the share of
        answers that at least hint at a problem.
    """
    scenarios = load_scenarios().subset(part.scenarios).scenarios
    rows = scenario_rows(sweeper.engine, scenarios)
    writing = Writing(part.max_new_tokens, part.temperature, seed=sweeper.how["seed"])
    parts = []
    for span in SLOTS:
        cells = text_cells(sweeper.engine, directions, part.coefficients, {f"mean:{span}": 1.0})
        texts = write_under(sweeper, f"spans-{span}", rows, cells, writing)
        parts.append(texts.with_columns(steered=pl.lit(span)))
    asked = {f"{s.id}/{version}": s.text(version) for s in scenarios for version in VERSIONS}
    texts = pl.concat(parts)
    keys = [asked[f"{row['scenario']}/{row['version']}"] for row in texts.iter_rows(named=True)]
    texts, rubrics, seed = texts.with_columns(pl.Series("question", keys)), [RUBRICS["disclosure"]], sweeper.how["seed"]
    judged = judge_answers(texts, judge_of(sweeper.engine, part), rubrics, answer="text", seed=seed)
    by = ["version", "steered", *_CELL]
    means = clustered_means(judged, "disclosure_rating", by=by, cluster="scenario", **sweeper.how)
    hits = judged.select(*by, pair="scenario", hit=pl.col("disclosure_rating") >= FLAGGED)
    flags = sampled_curve(hits, "flagged", by=("version", "steered")).select(
        *by, flagged="value", flagged_low="low", flagged_high="high"
    )
    return {
        "span_judge": judge_agreement(judged, rubrics, cluster="scenario", **sweeper.how),
        "steered_spans": means.join(flags, on=by, how="left", maintain_order="left"),
    }


def text_directions(
    probe: Direction, random: Sequence[tuple[str, Direction]], n: int
) -> list[tuple[str, str, Direction]]:
    """The probe and the first random directions, as (name, kind, direction)."""
    named_random = [(f"random {number}", kind, one) for number, (kind, one) in enumerate(random[:n], start=1)]
    return [("probe", "probe", probe), *named_random]


def how_of(recipe: Any) -> dict[str, Any]:
    """Bootstrap settings of a recipe."""
    return {"n_resamples": recipe.resamples, "seed": recipe.seed}
