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
# # Who a model says it is, and who it would be
#
# A small language model answers 60 HEXACO statements as itself (*self*), as the self it would like to become (*meta*)
# and as the ideal assistant (*helpful*). The statements are put one at a time, in both anchor orders, and the answer is
# the expected rating over the label probabilities. `personascope run hexaco` does the same with the whole bank, several
# wordings and all statistics; this notebook shows each step.

# %%
import polars as pl

from personascope import load_items, load_model, load_personas, render
from personascope.measures.bias import bias_panel
from personascope.measures.contrasts import paired_contrasts
from personascope.measures.likert import item_answers, score_likert
from personascope.measures.scales import domain_scores, key_consistency
from personascope.prompts.labels import resolve_options
from personascope.prompts.templates import ORDERS, likert_template
from personascope.report.figures_hexaco import domain_profile
from personascope.report.figures_study import bias_panels

model = load_model("smollm2")
bank = load_items().form("60")
personas = load_personas()
bank.frame().group_by("domain", "key", maintain_order=True).len()

# %% [markdown]
# ## Asking
#
# Constant text comes before the item, so that the engine computes it once for each persona and order.

# %%
rows, prompts = [], []
for name in ("self", "meta", "helpful"):
    wording = personas[name].phrasings[0]
    for order in ORDERS:
        for item in bank.items:
            slots = {"framing": wording.framing, "item": item.text}
            prompts.append(render(model.tokenizer, likert_template(order), slots, system=wording.system))
            rows.append({"persona": name, "order": order, "item": item.id})

template = likert_template("ascending")
options = resolve_options(model.tokenizer, template.answer_prefix, template.labels)
before = model.work.tokens
out = model.run(prompts, options=options)
print(f"{len(prompts)} prompts of {sum(map(len, prompts)):,} tokens, {model.work.tokens - before:,} computed")

# %% [markdown]
# ## Scoring
#
# Label mass says how far the model answers in the format at all. Trait and acquiescence are kept apart: saying yes to
# everything moves only the second.

# %%
asked = pl.DataFrame(rows)
answers = score_likert(
    out.option_logprobs.numpy(),
    out.other_logmass.numpy(),
    n_options=len(template.labels),
    descending=(asked["order"] == "descending").to_numpy(),
)
known = bank.frame().select(pl.col("id").alias("item"), "facet", "domain", "key", "desirability")
long = asked.hstack(answers.frame()).join(known, on="item", maintain_order="left")
items = item_answers(long).join(known, on="item", maintain_order="left")
domains = domain_scores(items)
domains.select("persona", "domain", "trait", "low", "high", "acquiescence", "n_items")

# %%
domain_profile(domains)

# %% [markdown]
# ## Can it be believed?
#
# Positive and reversed negative items should tell the same story, the order of the anchors should not matter.

# %%
bias_panels(bias_panel(long))

# %%
key_consistency(items)

# %% [markdown]
# ## Who it would be
#
# Differences are paired by item, corrected over domains.

# %%
contrasts = paired_contrasts(items, [("meta", "self"), ("helpful", "self"), ("meta", "helpful")], by="domain")
contrasts.select("contrast", "domain", "difference", "low", "high", "p", "q", "n")

# %%
found = contrasts.filter(pl.col("q") < 0.05)
print(
    f"{found.height} of {contrasts.height} domain differences have q < .05; the largest is "
    f"{contrasts['difference'].abs().max():.3f} on a scale from -1 to 1."
)
