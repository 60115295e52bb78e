"""From a recipe's model and rows to a plan, with all that can change a number."""

from __future__ import annotations

from personascope.activations.plan import Plan, Row
from personascope.experiments.recipe_parts import ActivationsPart, ModelPart
from personascope.models.engine import HookEngine
from personascope.models.load import load_model
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import Template


def answers_only(rows_per_shard: int) -> ActivationsPart:
    """Nothing is kept of the residual stream: for studies of answers alone."""
    return ActivationsPart(layers=(), rows_per_shard=rows_per_shard).model_copy(update={"positions": ()})


def load_model_part(part: ModelPart) -> HookEngine:
    """The model that a recipe names, checked."""
    return load_model(
        part.name,
        dtype=part.dtype,
        device=part.device,
        revision=part.revision,
        adapter=part.adapter,
        adapter_revision=part.adapter_revision,
        chat_template=part.chat_template,
        threads=part.threads,
    )


def make_plan(
    name: str,
    engine: HookEngine,
    rows: tuple[Row, ...],
    kept: ActivationsPart,
    template: Template,
    data: dict[str, str],
) -> Plan:
    """A plan of rows that were all rendered from `template`; `data` holds hashes of the material by name."""
    options = None
    if template.labels:
        context = rows[0].prompt.text[-200:].splitlines()[-1]
        options = resolve_options(engine.tokenizer, context, template.labels)
    return Plan(
        name=name,
        rows=rows,
        layers=tuple(range(engine.n_layers)) if kept.layers == "all" else kept.layers,
        positions=kept.positions,
        options=options,
        context=engine.fingerprint() | {f"data:{key}": value for key, value in data.items()},
        rows_per_shard=kept.rows_per_shard,
    )
