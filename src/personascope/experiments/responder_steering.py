"""Pushing a reading model along what it knows of people: do the answers that it expects of them follow?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from personascope.activations.store import ActivationStore
from personascope.direction import Direction
from personascope.experiments.collecting import Progress, named
from personascope.experiments.facet_effects import FACET, facet_grid, selectivity_tables
from personascope.experiments.probe_study import save_directions
from personascope.experiments.recipe_responder import ResponderRecipe
from personascope.experiments.responder_material import Material
from personascope.experiments.responder_plans import IN_ITEM, answer_rows, reader
from personascope.experiments.responder_tables import trait_scores
from personascope.experiments.runs import RunFolder
from personascope.interviews.language_model import option_shares
from personascope.interviews.transcript_probes import LAST_ANSWER
from personascope.models.engine import HookEngine
from personascope.models.hashes import model_hash
from personascope.probes.evaluate import fit_direction_weights
from personascope.steering.coefficient_sweep import stored_coefficient_sweep
from personascope.steering.selectivity import selectivity


def steered_tables(
    engine: HookEngine,
    store: ActivationStore,
    material: Material,
    recipe: ResponderRecipe,
    run: RunFolder,
    progress: Progress,
) -> dict[str, pl.DataFrame]:
    """The next answers of some people, under a push along each scale's direction and along random ones.

    Args:
        engine: the trained model.
        store: its states after the answers, of all tested people.
        material: of the study.
        recipe: of the study.
        run: its folder.
        progress: of the study.

    Returns:
        Tables "facet_selectivity", "facet_selectivity_rows", "facet_selectivity_index" and "facet_steering_cosines" of
        the scales: agreement with each item is averaged over people, intervals are over items.
    """
    part, probes = recipe.steering, recipe.probes
    assert part is not None and probes is not None
    directions = trait_directions(engine, store, material, recipe)
    for name, direction in directions.items():
        save_directions(run, f"reads-{name.lower()}", [direction])
    model = reader(engine, material, recipe)
    rows = answer_rows(model, material, part.interviews, (probes.answers,))
    grid = facet_grid(
        directions,
        store.layer(part.layer, LAST_ANSWER),
        strength=part.strength,
        n_random=part.random_directions,
        seed=recipe.seed,
        where={part.where: 1.0},
    )
    folder, ask = run.store("sweep-answers"), {"progress": named(progress, "sweep-answers")}
    answers = stored_coefficient_sweep(
        engine,
        rows,
        grid,
        model.options,
        folder,
        context={f"data:{name}": value for name, value in material.hashes().items()},
        **ask,
    )

    def tables() -> dict[str, pl.DataFrame]:
        k = recipe.people.options
        expected = option_shares(answers.option_logprobs[:, 0]) @ np.arange(1, k + 1)
        agreement = (2 * (expected - 1) / (k - 1) - 1).reshape(part.interviews, -1, *expected.shape[1:]).mean(axis=0)
        by_id = {item.id: item for item in material.bank.items}
        rows_of = [row for row, item in enumerate(material.predicted) if by_id[item].facet in directions]
        items = [by_id[material.predicted[row]] for row in rows_of]
        how: dict[str, Any] = {"n_resamples": recipe.resamples, "seed": recipe.seed}
        matrix = selectivity(
            agreement[rows_of],
            [item.facet for item in items],
            np.array([item.key for item in items]),
            directions=answers.directions,
            steered=[
                name if kind == FACET else None for name, kind in zip(answers.directions, answers.kinds, strict=True)
            ],
            coefficients=answers.coefficients,
            at=part.strength,
            **how,
        )
        return selectivity_tables(matrix, directions, recipe.seed)

    return run.stage("steering", tables)


def trait_directions(
    engine: HookEngine, store: ActivationStore, material: Material, recipe: ResponderRecipe
) -> dict[str, Direction]:
    """Scale -> ridge weights for people's scores, from people other than those who are predicted under the push."""
    part = recipe.steering
    assert part is not None
    others = slice(part.interviews, None)
    rows = store.layer(part.layer, LAST_ANSWER)[others]
    scores, groups = trait_scores(material)[others], np.arange(len(rows))
    norm = float(np.linalg.norm(store.layer(part.layer, IN_ITEM).astype(np.float64), axis=1).mean())
    return {
        name: Direction(
            vector=fit_direction_weights(rows, scores[:, number], groups, seed=recipe.seed),
            layer=part.layer,
            position=LAST_ANSWER,
            model=engine.name,
            model_hash=model_hash(engine.fingerprint()),
            reference_norm=norm,
            means=f"the person who answers is higher in {name}",
            fit=f"ridge, {len(rows)} people; norm at {IN_ITEM}",
            data_hash=store.key,
        )
        for number, name in enumerate(material.scales)
        if name in material.pushed
    }
