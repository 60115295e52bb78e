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
# # What to ask next
#
# An interview asks what is expected to tell most, given what was answered so far. But to tell most about *what*? Questions
# that find out who somebody is are not those that foretell what they will answer, so both are measured here. No language
# model is run but in the last part, where one reads interviews and is interviewed itself. `personascope run interview`
# does the first parts with more people and every planner, `personascope run responder` the last with training.

# %%
import numpy as np
import polars as pl

from personascope import load_model
from personascope.experiments.interview_tables import Interviewed
from personascope.experiments.live_interview import model_respondent
from personascope.instruments.items import load_items
from personascope.instruments.responses import Responses
from personascope.interviews import planners
from personascope.interviews.fitting import fit_ordinal
from personascope.interviews.interview import Limits, Stop, conduct
from personascope.interviews.language_model import LanguageModel
from personascope.interviews.marginals import Marginals
from personascope.interviews.metrics import identification, prediction
from personascope.interviews.population import draw_people, synthetic_population
from personascope.interviews.twins import Twins
from personascope.report.figures_interview import identified, predicted

# %% [markdown]
# ## Parameters
#
# These take about a minute. Raise `PEOPLE` and `INTERVIEWS` for curves that can be told apart; give a table of answers of
# your own to `load_responses` in place of synthetic people.

# %%
PEOPLE, INTERVIEWS, QUESTIONS = 600, 60, 20
AT = (0, 2, 5, 10, 20)
SEED = 0

# %% [markdown]
# ## People
#
# A synthetic population answers items of 25 facets. Its loadings and thresholds are those of people in published data,
# but nobody has answered these very items. Some people are known to the models, the others are met for the first time, and
# a fifth of the items is never asked of anybody.

# %%
bank = load_items().subset(None, 2)
population = synthetic_population(bank, seed=SEED)
_, values = draw_people(population, PEOPLE, SEED)
people = Responses(values, population.items, tuple(f"p{n}" for n in range(PEOPLE)), 5)
known, new = people.part(np.arange(PEOPLE - INTERVIEWS)), people.part(np.arange(PEOPLE - INTERVIEWS, PEOPLE))
held_out = tuple(np.random.default_rng(SEED).permutation(people.items)[: len(people.items) // 5].tolist())
asked = Interviewed(known, new, held_out)
print(f"{len(known.respondents)} people are known, {len(new.respondents)} are new; {len(held_out)} items are held out")

# %% [markdown]
# ## Who is it?
#
# Noisy twins: somebody answers as one of the known people does, give or take. The interviewees are these people on another
# day, drawn from the same model, which is why the bits flatter every planner alike.

# %%
twins = Twins(asked.known)
truth = np.arange(INTERVIEWS)
another_day = twins.draw(truth, SEED)
stop = Stop(QUESTIONS)
plans = [planners.at_random(), planners.static(twins), planners.by_information(), planners.hindsight(truth, another_day)]
held = [conduct(twins, planner, another_day, stop=stop, held_out=held_out, seed=SEED) for planner in plans]
found = pl.concat([identification(twins, one, truth, AT) for one in held], how="vertical_relaxed")
identified({"interview_identification": found}).show()

# %% [markdown]
# Hindsight looks at the answer before it asks. It is a bound that nobody can reach, and what is asked that way is no
# lesson: an interviewer that learned from it would take the question for the answer.
#
# ## What would they answer?
#
# The same questions put to people whom no model has seen, and the error on the items that nobody was asked.

# %%
graded = fit_ordinal(known, 6)
spread = known.values.std(axis=0)
plans = [(twins, plans[0]), (twins, plans[2]), (graded, planners.by_determinant())]
rows = []
for model, planner in plans:
    held_new = conduct(model, planner, new.values, stop=stop, held_out=held_out, seed=SEED)
    for name, predictor in (("item marginals", Marginals(known)), ("graded response", graded)):
        errors = prediction(predictor, held_new, new.values, held_out, AT, spread=spread)
        rows.append(errors.with_columns(predictor=pl.lit(name)))
errors = pl.concat(rows, how="vertical_relaxed")
predicted({"interview_prediction": errors}).show()

# %%
last = errors.filter(predictor="graded response", questions=AT[-1]).select("planner", "rmse", "low", "high", "n")
print(last)

# %% [markdown]
# ## One interview, answer by answer
#
# A persona of a language model is asked. Contents and keys take turns, so that somebody who agrees with everything is
# found out: readiness to agree is a trait of its own.

# %%
EVIL = model_respondent("smollm2", "evil", 5)
limits = Limits(groups=[item.domain or item.facet for item in bank.items], keys=[item.key for item in bank.items])
answers = np.array([[EVIL(item) for item in bank.items]], dtype=np.int8)
interview = conduct(population, planners.by_information(), answers, stop=Stop(12), limits=limits)
belief, texts = population.begin(1), {item.id: item.text for item in bank.items}
place = {item: column for column, item in enumerate(population.items)}
lines = []
for row in interview.frame().iter_rows(named=True):
    belief.observe(np.array([place[row["item"]]]), np.array([row["answer"] - 1]))
    lines.append({"question": texts[row["item"]][:60], "answer": row["answer"], "bits left": float(belief.entropy()[0])})
with pl.Config(fmt_str_lengths=60, tbl_rows=12):
    print(pl.DataFrame(lines))

# %% [markdown]
# ## A language model that reads
#
# It sees the words of the questions, so it can expect something of items that nobody has answered. Untrained, a small model
# knows little of it: its surprise, in bits an answer, beside that of the item marginals.

# %%
engine = load_model("smollm2")
reader = LanguageModel(engine, engine.tokenizer, texts, 5)
few = np.arange(4)
some = conduct(twins, planners.at_random(), new.values[few], stop=Stop(5), held_out=held_out, seed=SEED)
for name, model in (("language model, untrained", reader), ("item marginals", Marginals(known))):
    bits = prediction(model, some, new.values[few], held_out[:8], [0, 5], spread=spread)["bits"].round(2).to_list()
    print(f"{name}: {bits[0]} bits with nothing asked, {bits[1]} after 5 answers")
