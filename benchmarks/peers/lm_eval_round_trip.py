"""Does lm-evaluation-harness steer as we do? `python -m benchmarks.peers.lm_eval_round_trip` where both are installed.

A tiny random model is steered by `steer` here and by the harness's own loader from an exported file there; printed is
the largest difference of their log-probabilities. Install: pip install "lm-eval==0.4.13" beside this package.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from personascope.direction import Direction
from personascope.models.engine import HookEngine
from personascope.models.tiny import tiny_model, tiny_tokenizer
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.steering.lm_eval_export import hookpoint_of, write_lm_eval
from personascope.steering.steer import steer

IDS, TOKENS = (5, 9, 40, 77, 12, 33), tuple(range(3, 60))
ROUNDING, MOVED = 1e-5, 0.5


def difference(family: str, folder: Path) -> tuple[float, float]:
    """Largest difference of steered log-probabilities, theirs from ours, and how far steering moved ours."""
    from lm_eval.models.hf_steered import SteeredModel

    engine = HookEngine(tiny_model(family), tiny_tokenizer(), name=family)
    engine.model.save_pretrained(folder)
    engine.tokenizer.save_pretrained(folder)
    draw = np.random.default_rng(0)
    directions = [
        Direction(draw.standard_normal(engine.d_model), layer, "eot", family, 20.0, "", "random", strength=strength)
        for layer, strength in ((1, 0.3), (3, -0.2))
    ]
    write_lm_eval(directions, folder / "steer.pt", hookpoint=hookpoint_of(engine))
    options = Options(tuple(map(str, TOKENS)), tuple((token,) for token in TOKENS))
    prompt = Prompt(ids=IDS, text="", spans={})
    plain = engine.run([prompt], options=options).option_logprobs[0]
    with steer(engine, *directions, where="all"):
        ours = engine.run([prompt], options=options).option_logprobs[0]
    harness = SteeredModel(str(folder), steer_path=str(folder / "steer.pt"), device="cpu", dtype="float32")
    theirs = harness._model_call(torch.tensor([IDS]))[0, -1].log_softmax(-1)[list(TOKENS)]
    return float((theirs - ours).abs().max()), float((plain - ours).abs().max())


if __name__ == "__main__":
    good = True
    for family in ("llama", "gpt2"):
        with tempfile.TemporaryDirectory() as name:
            apart, moved = difference(family, Path(name))
        good = good and apart < ROUNDING and moved > MOVED
        Console().print(f"{family}: {apart:.1e} apart, where steering moved them by {moved:.2f}")
    sys.exit(0 if good else 1)
