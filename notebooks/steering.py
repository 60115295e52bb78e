# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does a direction cause choices?
#
# A probe that reads a preference from the residual stream may read something that the model never uses. So we push the
# stream along the probe's direction, and look at what is chosen, with everything that can pass for an effect beside it:
# no push, pushes of both signs, random directions of the same length, and the mass that is left on the labels.
# `personascope run steering-sweep` does more of the same at more layers, and writes a page.

# %%
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from personascope import collect, load_model, load_personas, load_tasks, steer
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of, task_plan
from personascope.experiments.probe_study import ridge_direction
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.experiments.recipe_steering import PushPart
from personascope.experiments.rows import Rows
from personascope.experiments.steered_choices import PUSHES, choice_options, choice_rows_of, pushed_pairs
from personascope.models.generation import generate
from personascope.prompts.render import render
from personascope.prompts.templates import TASK_ALONE
from personascope.report.figures_steering import steering_curves
from personascope.report.selection import show_selection
from personascope.steering.choice_read_outs import contrastive_curve, single_task_curve, utility_curve
from personascope.steering.coefficient_sweep import SweepGrid, cell_of, stored_coefficient_sweep
from personascope.steering.dose_response import dose_response
from personascope.steering.interventions import project_out

# %% [markdown]
# ## Parameters
#
# These take a minute or two on two cores, and are too few for conclusions: enlarge `PER_TOPIC` (up to 20), `PAIRS`,
# `STRENGTHS` and `LAYERS`. With a folder of your own as `OUT` nothing is computed twice.

# %%
MODEL = "smollm2"
PERSONA = "assistant"
PER_TOPIC = 3  # tasks of each of 12 topics
PAIRS = 2  # pushed pairs of each type
LAYERS = (16,)  # blocks after which the stream is pushed
STRENGTHS = (-0.4, -0.2, 0.0, 0.2, 0.4)  # fractions of the mean norm of the residual stream
POSITION = "mean:item"  # the tokens of a task
OUT = Path(tempfile.mkdtemp())

# %%
pl.Config(tbl_rows=30, tbl_cols=12, tbl_width_chars=150, float_precision=3)
model = load_model(MODEL)
pool, persona = load_tasks().subset(PER_TOPIC), load_personas()[PERSONA]
asked = ChoiceMaterial.regular(pool, [persona], degree=4, seed=0)

# %% [markdown]
# ## A direction
#
# The model chooses between tasks in both orders, by the probabilities of the labels A and B; its utilities are fitted, and
# ridge weights that predict them from the residual stream make the direction. Tasks that will be pushed are held out of
# this fit.

# %%
choices = collect(choice_plan(model, asked), model, OUT / "choices")
kept = ActivationsPart(layers=LAYERS, positions=(POSITION,))
store = collect(task_plan(model, asked, kept), model, OUT / "tasks")
utilities = outcomes_of(answered_choices(choices), PERSONA, asked.number()).fit(n_tasks=len(pool.tasks)).values

pushed = pushed_pairs(asked, PushPart(pairs=PAIRS, held_out=0.6), seed=0)
fitted = np.array([task.id not in pushed.held_out for task in pool.tasks])
topics = pool.frame()["topic"].to_numpy()[fitted]
features = {layer: store.layer(layer, POSITION)[fitted] for layer in LAYERS}
directions = [
    ridge_direction(
        model, store, Rows(features[layer], utilities[fitted], topics, []), layer, POSITION, "higher utility", seed=0
    )
    for layer in LAYERS
]
directions

# %% [markdown]
# ## Which tokens are pushed
#
# The first task up, the second one down. The preview shows it before anything runs.

# %%
rows = choice_rows_of(model, asked, pushed, persona)
show_selection(model.tokenizer, [rows[0].prompt], read=("answer",), steer=PUSHES["contrast"])

# %% [markdown]
# ## The sweep
#
# Each pair in both orders, every strength, five random directions beside the probe's. What lies below the pushed layer and
# before the first pushed token is computed once for all of it.

# %%
options = choice_options(model, rows)
answers = {}
for name, where in PUSHES.items():
    grid = SweepGrid.of(directions, coefficients=STRENGTHS, where=where, features=features)
    answers[name] = stored_coefficient_sweep(model, rows, grid, options, OUT / f"sweep-{name}")
pair = np.array([int(row.meta["pair"]) for row in rows])
contrast = contrastive_curve(answers["contrast"], pair)
steering_curves(contrast.frame(n_resamples=500).with_columns(target=pl.lit("choice")))

# %% [markdown]
# The curve is antisymmetric about one half by construction: each prompt counts once for either task. Only its slope is a
# finding, and only beside the grey lines. How steep is it, does it turn back, and how many random directions are as steep?

# %%
dose_response(contrast.frame(n_resamples=500)).select("direction", "slope", "linearity", "turns_plus", "n_random", "p")

# %% [markdown]
# Two read-outs that nothing makes antisymmetric: how often the task of higher utility is chosen while it is pushed up or
# down, and what a push on one task alone adds and takes away.

# %%
number = asked.number()
first, second = (np.array([utilities[number[row.meta[slot]]] for row in rows]) for slot in ("first", "second"))
better = utility_curve(answers["contrast"], pair, first, second)
better.frame(n_resamples=500).filter(pl.col("control") == "probe").select("coefficient", "value", "low", "high", "n")

# %%
single = single_task_curve(answers["first"], answers["second"], pair)
single.effects(n_resamples=500).filter(pl.col("control") == "probe").select(
    "effect", "coefficient", "value", "low", "high", "label_mass"
)

# %% [markdown]
# ## Other things to do with a direction
#
# `steer` changes any call in its block: here the direction is projected out of every token, and the choices are read again.

# %%
direction = directions[0]
prompts = [row.prompt for row in rows]
plain = model.run(prompts, options=options).option_logprobs
with steer(model, project_out(direction, where="all")):
    without = model.run(prompts, options=options).option_logprobs
print(f"largest change of a log-probability: {float((without - plain).abs().max()):.2f}")
print(f"choices that stay: {float((without.argmax(1) == plain.argmax(1)).float().mean()):.0%} of {len(prompts)}")

# %% [markdown]
# Texts under several strengths are one call: every row has a cell of its own, and the same random numbers.

# %%
question = render(model.tokenizer, TASK_ALONE, {"item": "What would you like to do next?"})
strengths = [-0.3, 0.0, 0.3]
cells = [cell_of(c * direction, {"all": 1.0}, model) for c in strengths]
written = generate(model, [question] * 3, cells=cells, max_new_tokens=24, temperature=0.7, seed=0)
for c, (text,) in zip(strengths, written.texts, strict=True):
    print(f"{c:+.1f}: {text!r}")

# %% [markdown]
# With a model of 135 million parameters, a few pairs and one layer, expect wide intervals and a probe that does what random
# directions do. What would count: a slope beyond all random directions, at strengths that leave the label mass where it was,
# in the label *and* in the task that is then carried out.
