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
# # Do personas share one code for what they prefer?
#
# A small language model chooses between tasks as three personas. For each persona a linear probe learns to read its
# utilities from the residual stream, and is then tested on the activations and the utilities of the others. What looks
# like a shared code can be something else: two personas may like the same tasks, and a persona's prompt names kinds of
# task, which any reader of text can use. So each number below stands beside the number it has to beat.
# `personascope run persona-transfer` does the same with six personas, ten layers and 240 tasks.

# %%
import tempfile
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from personascope import collect, load_model, load_personas, load_tasks, transfer_matrix
from personascope.experiments.elicitation import ChoiceMaterial, answered_choices, choice_plan, outcomes_of, task_plan
from personascope.experiments.encoding import formatted
from personascope.experiments.recipe_parts import ActivationsPart
from personascope.instruments.personas import pick_personas
from personascope.measures.choices import choice_table, order_bias
from personascope.measures.reliability import split_half
from personascope.models.encoder import load_encoder
from personascope.probes.transfer_summaries import weight_cosines
from personascope.report.heatmaps import cell_height, cell_map, diverging_axis
from personascope.report.theme import template

# %% [markdown]
# ## Parameters
#
# These take a minute or two on two cores, and are too few for conclusions: enlarge `PER_TOPIC` (up to 20), `DEGREE`,
# `PERSONAS` and `LAYERS`. With a folder of your own as `OUT` nothing is computed twice.

# %%
MODEL = "smollm2"
PERSONAS = ["assistant", "evil", "mathematician"]
PER_TOPIC = 3  # tasks of each of 12 topics
DEGREE = 4  # others that every task is compared with
LAYERS = (14, 22)  # blocks after which the residual stream is read
POSITION = "eot"  # the token that ends the user's turn
OUT = Path(tempfile.mkdtemp())

# %%
pl.Config(tbl_rows=30, tbl_cols=12, tbl_width_chars=150, float_precision=3)
model = load_model(MODEL)
pool = load_tasks().subset(PER_TOPIC)
n = len(pool.tasks)
personas = tuple(pick_personas(load_personas(), PERSONAS))
asked = ChoiceMaterial.regular(pool, personas, degree=DEGREE, seed=0)
pl.DataFrame({"persona": PERSONAS, "system prompt": [persona.phrasings[0].system for persona in personas]})

# %% [markdown]
# ## Asking
#
# Every persona is asked pairs of its own, each in both orders, and answers by the probabilities of the labels A and B.
# With the same pairs for all, what is peculiar to a pair would be an error that their utilities share. Each task is then
# shown alone, and the residual stream is kept.

# %%
choices = collect(choice_plan(model, asked), model, OUT / "choices")
kept = ActivationsPart(layers=LAYERS, positions=(POSITION,))
tasks = collect(task_plan(model, asked, kept), model, OUT / "tasks")
answered = answered_choices(choices)
print(f"{choices.n_rows} choices, {tasks.n_rows} tasks under a persona")

# %% [markdown]
# `position_bias` is the mean preference for whatever comes first, in logits; `sd_log_odds` is the spread of what is
# left when it is taken out, the preference proper. `flip_share` is the share of pairs whose answer changes with the
# order: where it is high, single answers say nothing, and only the mean of both orders does.

# %%
order_bias(choice_table(answered)).select(
    "persona", "position_bias", "sd_log_odds", "flip_share", "label_mass", "n_pairs"
)

# %% [markdown]
# ## Utilities
#
# A utility is the scale value of a task, fitted to all its comparisons. `split_half` is how well the utilities of one
# half of the pairs agree with those of the other, stepped up to all pairs: no probe can be expected to correlate with
# utilities beyond the square root of it (`ceiling`).

# %%
utilities, reliable, rows = {}, {}, []
for persona in PERSONAS:
    own = outcomes_of(answered, persona, asked.number())
    utilities[persona] = own.fit(n_tasks=n).values
    halves = split_half(own.first, own.second, own.p_first, n_tasks=n, weights=own.weights)
    reliable[persona] = halves.r
    spread = float(utilities[persona].std())
    row = {"persona": persona, "sd_utility": spread, "split_half": halves.r, "low": halves.low, "high": halves.high}
    rows.append(row | {"ceiling": max(halves.r, 0) ** 0.5})
pl.DataFrame(rows)

# %% [markdown]
# ## Transfer
#
# The probe of one persona (`train`) predicts the utilities of another (`test`) from the other's activations. Topics are
# held out: no tested task is of a topic that the probe was trained on under any persona, and the penalty is chosen
# inside the training topics. A sentence encoder that sees the same system prompts and tasks takes the same steps.
# `within_group` is `r` without the means of topics: what is left when knowing the topic is worth nothing.

# %%
topics = pool.frame()["topic"].to_numpy()
encoder = load_encoder()
texts = {
    persona.name: encoder.encode([formatted(persona.phrasings[0].system, task.text) for task in pool.tasks])
    for persona in personas
}
matrices = {}
for layer in LAYERS:
    features = {name: tasks.layer(layer, POSITION)[(tasks.rows["persona"] == name).to_numpy()] for name in PERSONAS}
    matrices[layer] = transfer_matrix(
        features,
        utilities,
        topics,
        layer=layer,
        position=POSITION,
        reliabilities=reliable,
        text_features=texts,
    )
table = pl.concat(matrix.frame() for matrix in matrices.values())
table.select("layer", "train", "test", "r", "low", "high", "utility_r", "encoder_r", "within_group", "n")

# %% [markdown]
# The left map is `r`, the transfer; on its diagonal is how well each persona is read by its own probe, and a probe that
# reads its own persona badly cannot show sharing, whatever there is. The middle map is `utility_r`, the correlation of
# the two personas' utilities: a probe that only repeats the preferences of its own persona reaches it with nothing
# shared, so it is the control of the cells off the diagonal. The right map is `encoder_r`, transfer by the words alone,
# the control of all cells. A star marks transfers whose interval, over topics, lies above zero.


# %%
def maps(matrix):
    """Transfer beside its two controls, on one colour scale."""
    frame = matrix.frame()
    titles = {"r": "probe", "utility_r": "utilities alone", "encoder_r": "encoder alone"}
    figure = make_subplots(1, 3, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=list(titles.values()))
    for place, name in enumerate(titles, start=1):
        cells = {(row["train"], row["test"]): row for row in frame.iter_rows(named=True)}
        starred = {cell for cell, row in cells.items() if name == "r" and row["low"] is not None and row["low"] > 0}
        values = {cell: row[name] for cell, row in cells.items()}
        hover = {cell: f"{cell[0]} to {cell[1]}" for cell in cells}
        figure.add_trace(cell_map(values, PERSONAS, PERSONAS, hover=hover, marked=starred), row=1, col=place)
    figure.update_layout(template=template(), height=150 + cell_height(len(PERSONAS)), margin={"l": 120, "t": 60})
    figure.update_layout(title=f"layer {matrix.layer}", coloraxis=diverging_axis([1.0], "r"))
    figure.update_yaxes(autorange="reversed", showgrid=False, title_text="trained on", col=1)
    return figure.update_xaxes(showgrid=False, title_text="tested on")


maps(matrices[LAYERS[0]])

# %%
maps(matrices[LAYERS[-1]])

# %% [markdown]
# ## Is it sharing?
#
# Errors of the utilities lower `utility_r` more than `r`, so their plain difference is above zero without any sharing.
# `difference_corrected` takes these errors out by the split-half reliabilities (null where one is below .1);
# `over_encoder` is `r` minus `encoder_r`. Only a pair with both intervals above zero shares more than tastes and words.
# Both intervals draw topics with replacement, and with 12 topics they are rough.

# %%
other = table.filter(pl.col("train") != pl.col("test"))
ends = [f"{name}{end}" for name in ("difference_corrected", "over_encoder") for end in ("", "_low", "_high")]
other.select("layer", "train", "test", *ends)

# %%
figure = go.Figure(layout={"template": template(), "height": 360})
for layer in LAYERS:
    part = other.filter(pl.col("layer") == layer)
    figure.add_scatter(
        x=part["over_encoder"],
        y=part["difference_corrected"],
        text=[f"{train} to {test}" for train, test in part.select("train", "test").iter_rows()],
        mode="markers",
        marker={"size": 10},
        name=f"layer {layer}",
    )
figure.update_xaxes(title_text="r minus the encoder's r")
figure.update_yaxes(title_text="r minus utility r, both corrected")
figure

# %% [markdown]
# ## Do the probes point the same way?
#
# `cosine` compares the weights of two probes; `null_high` is the 95th percentile of the absolute cosine between
# random directions with the covariance of the activations, which point alike more often than in an empty space. A small
# cosine does not exclude transfer, since weights are spread over directions that hardly vary.

# %%
at = LAYERS[-1]
weight_cosines(matrices[at], tasks.layer(at, POSITION))

# %%
beats_both = (pl.col("difference_corrected_low") > 0) & (pl.col("over_encoder_low") > 0)
shared = other.filter(beats_both).height
known = other["difference_corrected"].is_not_null().sum()
print(f"{shared} of {known} transfers between reliable utilities beat both controls ({other.height} were tested).")
