"""Capture and sweep of a large model in bfloat16 on a GPU, as shares of the rate at which it multiplies matrices.

The model has the shapes of Gemma-3-27B and random weights, built on the device: nothing is downloaded, and speed does
not depend on what the weights say. Run `python -m benchmarks.gpu`; on a small machine the same code is tried with
`python -m benchmarks.gpu --device cpu --layers 2 --width 64 --rows 12`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks import contenders
from benchmarks.gemm import flops_per_token, gemm_rate
from benchmarks.records import argument_parser, at_least, at_most, interleaved, ratio, require_equal, show, show_so_far
from personascope.models.engine import HookEngine
from personascope.models.intervention import Intervention
from personascope.models.sweep import sweep
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt

LIMIT = 0.1
"""Of a layer's largest value: two bfloat16 computations of one prompt through sixty random layers."""


def random_gemma(layers: int, width: int, device: str) -> Any:
    """A Gemma-3 text model with the shapes of the 27B one, or smaller, and random weights in bfloat16."""
    scale = width / 5376
    config = AutoConfig.for_model(
        "gemma3_text",
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=int(21504 * scale),
        num_attention_heads=max(2, int(32 * scale)),
        num_key_value_heads=max(1, int(16 * scale)),
        head_dim=128 if scale == 1 else 32,
        sliding_window=1024,
        query_pre_attn_scalar=168,
        vocab_size=262_208 if scale == 1 else 1000,
    )
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def prompts_of(n_rows: int, vocabulary: int, prefix: int = 120, suffix: int = 30) -> list[Prompt]:
    """Rows of five personas: 120 shared tokens, then 25 to 35 of their own."""
    draw = np.random.default_rng(0)
    personas = [draw.integers(10, vocabulary, prefix) for _ in range(5)]
    rows = []
    for row in range(n_rows):
        own = draw.integers(10, vocabulary, int(draw.integers(suffix - 5, suffix + 6)))
        ids = tuple(map(int, [*personas[row % 5], *own]))
        rows.append(Prompt(ids, "", {"item": (prefix, len(ids))}))
    return rows


def main() -> None:
    """Equality first, then the shares."""
    parser = argument_parser(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=62)
    parser.add_argument("--width", type=int, default=5376)
    parser.add_argument("--rows", type=int, default=1000, help="rows captured; a tenth of them is swept")
    parser.add_argument("--token-budget", type=int, default=8192)
    options = parser.parse_args()
    model = random_gemma(options.layers, options.width, options.device)
    engine = HookEngine(model, None, name="random Gemma-3", token_budget=options.token_budget)
    prompts, layers = prompts_of(options.rows, model.config.vocab_size), range(engine.n_layers)
    some = prompts[: max(10, options.rows // 20)]
    found = engine.run(some, layers=layers).residuals[:, :, 0].float()
    theirs = contenders.tuned_hooks(engine, some).float()
    difference = float(((found - theirs).abs() / theirs.abs().amax(dim=(0, 2), keepdim=True)).max())
    records = [require_equal("capture: equal to a tuned hook loop", difference, LIMIT)]

    before = engine.work.tokens
    runs = {
        "captured": lambda: engine.run(prompts, layers=layers),
        "last layer only": lambda: engine.run(prompts, layers=[engine.n_layers - 1]),
        "tuned": lambda: contenders.tuned_hooks(engine, some),
    }
    rate = gemm_rate(engine)
    seconds = interleaved(runs, options.rounds)
    computed = (engine.work.tokens - before) / options.rounds / 2
    share = flops_per_token(engine) * computed / seconds["captured"] / rate
    note = f"measured {rate / 1e12:.1f} TFLOP/s"
    records.append(show_so_far(at_least("capture: share of the GEMM rate", share, 0.45, note)))
    extra = 100 * (seconds["captured"] / seconds["last layer only"] - 1)
    records.append(show_so_far(at_most("capture of all layers: more time than of one, %", extra, 3.0)))
    per_row = seconds["captured"] / len(prompts)
    records.append(
        show_so_far(ratio("capture: faster than a tuned hook loop", per_row, seconds["tuned"] / len(some), 4.5))
    )

    answers = Options(("a", "b"), ((5,), (6,)))
    swept = prompts[: max(5, options.rows // 10)]
    vector = np.random.default_rng(1).normal(size=engine.d_model).astype(np.float32)
    vector *= float(found.norm(dim=-1).mean()) / float(np.linalg.norm(vector))
    for where in ("answer", "from:item"):
        chosen = list(range(0, engine.n_layers, max(1, engine.n_layers // 10)))[:10]
        cells = [(Intervention(layer, c * vector, where),) for layer in chosen for c in (-0.1, -0.05, 0.05, 0.1)]
        one = [(cells[0][0].layer, cells[0][0].offset)]
        mine = sweep(engine, swept, cells, answers).option_logprobs[:, 0]
        theirs = contenders.tuned_sweep(engine, swept, one, where, answers)[0]
        records.append(require_equal(f"sweep {where}: equal to a loop", float((mine - theirs).abs().max()), 0.5))
        tokens = engine.work.block_tokens
        loops = {
            "ours": lambda cells=cells: sweep(engine, swept, cells, answers),
            "loop": lambda one=one, where=where: contenders.tuned_sweep(engine, swept, one, where, answers),
        }
        seconds = interleaved(loops, options.rounds)
        tokens = (engine.work.block_tokens - tokens) / options.rounds
        mine_per_cell = seconds["ours"] / len(cells)
        records.append(show_so_far(ratio(f"sweep {where}: faster than a loop", mine_per_cell, seconds["loop"], None)))
        share = flops_per_token(engine) / engine.n_layers * tokens / seconds["ours"] / rate
        records.append(show_so_far(at_least(f"sweep {where}: share of the GEMM rate", share, None)))
    show(f"{options.layers} layers of width {options.width} in bfloat16 on {options.device}", records, options.json)


if __name__ == "__main__":
    main()
