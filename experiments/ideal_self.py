"""Can a model be taught its own ideal self? One LoRA run beside one that is taught the model's own answers.

`personascope run ideal-self` adds seeds, further controls, other forms, shifts of the stream, steering and a page.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cyclopts

from personascope import collect, load_model
from personascope.experiments import questionnaires as q
from personascope.experiments.movement_tables import movement_tables
from personascope.experiments.plans import answers_only
from personascope.experiments.recipe_parts import HexacoPart
from personascope.experiments.tuned_answers import TestItems, paired, scores
from personascope.instruments.splits import split_items
from personascope.models.adapters import attached
from personascope.prompts.templates import ORDERS
from personascope.report.figures_tuning import toward_the_ideal
from personascope.tuning.examples import make_example
from personascope.tuning.settings import TrainSettings
from personascope.tuning.targets import label_of, target_levels
from personascope.tuning.training import train_adapter

HOW = TrainSettings(learning_rate=3e-4, epochs=2, batch_size=16)


def main(*, model: str = "smollm2", per_key: int = 8, out: Path = Path("runs/scripts/ideal-self")) -> None:
    """Ask, teach, ask again, with `per_key` items of each facet and key. Run again, nothing is computed twice."""
    engine = load_model(model)
    asked = q.load_questionnaire(HexacoPart(per_key=per_key, personas=("self", "meta", "helpful"), contrasts=()), None)
    split = split_items(asked.bank, ratios=(0.5, 0.125, 0.375))
    base = collect(q.questionnaire_plan("base", engine, asked, answers_only(512)), engine, out / "base")
    item, test = {one.id: one for one in asked.bank.items}, TestItems.of(asked.bank, split).test
    keys = {id_: item[id_].key for id_ in (*split.train, *split.validation)}
    own = asked.respondents[0].phrasings[0]
    moved = {}
    for target in ("meta", "self"):
        levels, examples = target_levels(q.answer_table(base, asked.bank), keys, target), {}
        # a rating under the words of the self, by turns with either end of the scale first
        for number, (id_, level) in enumerate(levels.select("item", "level").iter_rows()):
            template = q.rating_template(engine, asked.scale, order := ORDERS[number % 2])
            answer = label_of(level, order, template.labels)
            slots = {"framing": own.framing, "item": item[id_].text}
            examples[id_] = make_example(engine.tokenizer, id_, template, slots, answer, system=own.system)
        taught, checked = ([examples[id_] for id_ in part] for part in (split.train, split.validation))
        with attached(engine, train_adapter(engine, taught, checked, out / target, HOW).folder):
            plan = q.questionnaire_plan(f"after-{target}", engine, replace(asked, bank=test), answers_only(512))
            tuned = collect(plan, engine, out / f"after-{target}")
        moved[target] = paired(scores(base, asked.bank), scores(tuned, test), split.clusters)
    tables = movement_tables(moved, {"n_resamples": 500, "seed": 0})
    print(tables["tuning_gap"].select("run", "keys", "centred", "gap_closed", "low", "high", "naive_biased", "refused"))
    toward_the_ideal(tables).write_html(out / "ideal_self.html")


if __name__ == "__main__":
    cyclopts.run(main)
