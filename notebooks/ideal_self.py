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
# # Can a model be taught its own ideal self?
#
# A model is asked about itself, and as the self that it would like to become. Then it is trained so that its answer to
# the first question is the one that it gave to the second. Did it move, by more than its answers wobble? Toward its
# ideal, or did it only learn to agree? And where did training move the residual stream? `personascope run ideal-self` does
# the same with more items, with runs that are taught something else, and with steering beside it.

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl

from personascope import collect, load_model
from personascope.experiments.ideal_directions import persona_rows
from personascope.experiments.questionnaires import (
    answer_table,
    load_questionnaire,
    questionnaire_plan,
    rating_template,
)
from personascope.experiments.recipe_parts import ActivationsPart, HexacoPart
from personascope.experiments.tuned_answers import TestItems, paired, scores
from personascope.instruments.splits import split_items
from personascope.models.adapters import attached
from personascope.prompts.templates import ORDERS
from personascope.tuning.examples import make_example
from personascope.tuning.movement import gap_closed
from personascope.tuning.settings import TrainSettings
from personascope.tuning.shift_geometry import shift_table
from personascope.tuning.targets import label_of, target_levels
from personascope.tuning.training import train_adapter

# %% [markdown]
# ## Parameters
#
# These take a minute on two cores and are far too few for conclusions: leave `FACETS` at None and raise `PER_KEY` to 20.

# %%
MODEL = "smollm2"
FACETS = ("sincerity", "fairness", "patience")
PER_KEY = 6  # items of each facet and key
LAYER = 16  # after which the shift is looked at
HOW = TrainSettings(rank=8, learning_rate=3e-4, epochs=1, batch_size=8)
OUT = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Asked
#
# Every item, as the model itself and as its ideal self, with the scale in both orders, so that a preference for a label or
# a place cancels. Near copies of an item are kept on one side of the split.

# %%
model = load_model(MODEL)
asked = load_questionnaire(HexacoPart(facets=FACETS, per_key=PER_KEY, personas=("self", "meta"), contrasts=()), None)
split = split_items(asked.bank, ratios=(0.5, 1 / 6, 1 / 3))
kept = ActivationsPart(layers=(LAYER,), positions=("answer",))
base = collect(questionnaire_plan("base", model, asked, kept), model, OUT / "base")
answers = answer_table(base, asked.bank)
print(answers.group_by("persona", maintain_order=True).agg(pl.col("agreement", "label_mass").mean()))

# %% [markdown]
# ## Taught
#
# For each training item a rating is drawn from the ideal self's answers, so that their mean is what was measured. It is
# taught as the answer of the self. The loss falls on the rating and the end of the turn.

# %%
keys = {item.id: item.key for item in asked.bank.items if item.id in {*split.train, *split.validation}}
level = dict(target_levels(answers, keys, "meta").select("item", "level").iter_rows())
item = {one.id: one for one in asked.bank.items}
self_, _ = asked.respondents


def taught(id_: str, order: str):
    template = rating_template(model, asked.scale, order)
    slots = {"framing": self_.phrasings[0].framing, "item": item[id_].text}
    return make_example(model.tokenizer, id_, template, slots, label_of(level[id_], order, template.labels))


train = [taught(id_, ORDERS[n % 2]) for n, id_ in enumerate(split.train)]
validation = [taught(id_, ORDERS[n % 2]) for n, id_ in enumerate(split.validation)]
print(train[0].prompt.text[-80:], "->", [model.tokenizer.decode([t]) for t in train[0].labels if t >= 0])

# %%
trained = train_adapter(model, train, validation, OUT / "adapter", HOW)
print(trained.history)

# %% [markdown]
# ## Asked again
#
# The adapter is put beside the weights for the time of a block; after it the model is the base again, bit for bit. Test items
# were never taught.

# %%
test = TestItems.of(asked.bank, split).test
with attached(model, trained.folder):
    tuned = collect(questionnaire_plan("after", model, replace(asked, bank=test), kept), model, OUT / "after")
moved = paired(scores(base, asked.bank), scores(tuned, test), split.clusters)
gap = gap_closed(moved, cluster="cluster", n_resamples=500)
print(gap.frame().select("keys", "centred", "gap_closed", "low", "high", "naive_biased", "first_stage"))
print(gap.whole.closed.refused, "|", gap.reading)

# %% [markdown]
# `naive_biased` is what a plain slope would say. The same noisy answers of the self before training stand on both of its
# sides, so a model that did not move at all seems to have gone some of the way. Where the gap between self and ideal does not show
# again in the other half of the items, there is nothing to be a share of, and the estimate is refused.
#
# ## Where training moved the stream
#
# Base and tuned model read the same tokens. Their mean difference is set against the direction from self to ideal, beside
# random directions of the stream's covariance.

# %%
ids = [one.id for one in test.items]
own, ideal = (persona_rows(base, persona, ids, LAYER, "answer") for persona in ("self", "meta"))
shift = persona_rows(tuned, "self", ids, LAYER, "answer") - own
found = shift_table({"meta": shift}, {"ideal - self": (ideal - own).mean(axis=0)}, own, layer=LAYER)
print(found.select("other", "cosine", "null_high", "length", "halves", "n"))
