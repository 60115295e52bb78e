"""The card that goes with published directions: what each means, where it belongs, how to load it, what it is not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from personascope.direction import Direction
from personascope.errors import DirectionError

MARK = "library_name: personascope"
"""The line of the front matter by which a card of ours is told from another README."""

_HEAD = f"""---
{MARK}
tags:
- personascope
- steering-vector
- interpretability
---
"""
_LIMITS = """## Limits

- A direction is tied to its model, layer and position. Another model's residual stream shares no axes with this one,
  not even that of the same model after more training; compare the hash of the weights.
- Strengths are fractions of the mean residual norm (the reference norm) at that layer and position. What a strength
  does is to be measured: together with random directions of the same length, in both signs, and at zero.
- That a direction reads something does not show that the model uses it, and a shift of behaviour under steering does
  not show that the model uses it by itself.
"""
_ACTIVE = re.compile(r"([\\`*_\[\]<>|&~$])")
"""Characters that would make markup, a table cell, a formula or HTML of somebody's text."""


def direction_card(directions: Mapping[str, Direction], repo_id: str = "OWNER/NAME") -> str:
    """A README in markdown for directions that are published together.

    Texts of the directions are shown as they are: none of them can become markup or HTML.

    Args:
        directions: by the name under which each is saved.
        repo_id: the hub repository, for the lines that load them.

    Raises:
        DirectionError: there are no directions.
    """
    if not directions:
        raise DirectionError("A card needs at least one direction.", "", "Pass them by name, e.g. {'honesty': d}.")
    parts = [_HEAD, _title(directions), *(_section(name, one) for name, one in directions.items())]
    return "\n".join([*parts, _loading(next(iter(directions)), repo_id), _LIMITS])


def _title(directions: Mapping[str, Direction]) -> str:
    models = ", ".join(_plain(model) for model in dict.fromkeys(d.model for d in directions.values()))
    return f"# Directions in the residual stream of {models}\n"


def _section(name: str, direction: Direction) -> str:
    strength = f"{direction.strength:+.4g} x the reference norm"
    rows = {
        "+ means": direction.means,
        "model": direction.model,
        "hash of its weights": direction.model_hash or "not recorded",
        "layer": f"{direction.layer} (output of that decoder block, counted from 0)",
        "position": direction.position,
        "reference norm": f"{direction.reference_norm:.6g} (mean L2 norm of the residual stream there)",
        "strength as saved": strength,
        "width": str(len(direction.vector)),
        "fit": direction.fit,
        "hash of its data": direction.data_hash or "not recorded",
    }
    lines = [f"| {title} | {_plain(text)} |" for title, text in rows.items()]
    return "\n".join([f"## {_plain(name)}", "", "| | |", "|---|---|", *lines, ""])


def _loading(name: str, repo_id: str) -> str:
    return f"""## How to load

```python
from personascope.models.load import load_model
from personascope.steering.hub import pull_directions
from personascope.steering.steer import steer

directions = pull_directions({repo_id!r}, revision="COMMIT")  # a commit hash, so that it stays the same
model = load_model(directions[{name!r}].model)
with steer(model, 0.06 * directions[{name!r}], where="all"):
    ...  # model.run(...)
```

`write_gguf` and `write_lm_eval` make files of them for llama.cpp, repeng and lm-evaluation-harness.
"""


def _plain(text: str) -> str:
    """Text on one line in which nothing is markup."""
    return _ACTIVE.sub(r"\\\1", " ".join(text.split()))
