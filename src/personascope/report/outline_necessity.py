"""The page of necessity: what is left of choices without the direction, and where in the model they are carried."""

from __future__ import annotations

from personascope.report import figures_necessity as needed
from personascope.report import sentences_necessity as spoken
from personascope.report.outline import Outline, Part
from personascope.report.wording import layer_runs

NECESSITY = (
    Outline(
        "necessity",
        "Is the direction needed",
        (
            Part(
                "ablation",
                "ablation-curves",
                "What is left when directions are taken out of the residual stream, with 95 % intervals, beside random "
                "subspaces of the same rank; matched ones hold as much of the activations as the probe's.",
                spoken.ablation,
                lambda tables, _: needed.ablation_curves(
                    tables["ablation"], {"layers": layer_runs(tables["ablation"]["layers"][0])}
                ),
            ),
        ),
        "That choices survive says that other directions carry them as well, not that the model makes no use of this "
        "one; that they break says something only where matched random subspaces leave them whole.",
    ),
    Outline(
        "patching",
        "Where the choice is carried",
        (
            Part(
                "patching",
                "patching-curves",
                "Residual rows of another prompt are put in at one layer, with 95 % intervals over pairs. Broken "
                "lines: at all layers together.",
                spoken.patching,
                lambda tables, _: needed.patching_curves(
                    tables["patching"], {"position": tables["patching"]["where"][0]}
                ),
            ),
        ),
        "Rows that choose another label show what carries the label, those that choose another task what carries the "
        "task; few prompts can show either. Rows of a late layer hold the answer itself.",
    ),
)
