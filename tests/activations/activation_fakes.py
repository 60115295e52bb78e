"""A deterministic backend whose every value can be recomputed from the token ids alone, and plans for it."""

import hashlib
import json
import time

import h5py
import numpy as np
import torch
import xxhash

from personascope.activations.plan import Plan, Row
from personascope.models.backend import Outputs
from personascope.prompts.labels import Options
from personascope.prompts.positions import resolve
from personascope.prompts.prompt import Prompt

OPTIONS = Options(("1", "2", "3"), ((11,), (12, 22), (13,)))
LAYERS, POSITIONS = (0, 3, 2), ("answer", "mean:item")


def _random(*seed):
    digest = hashlib.sha256(json.dumps(seed).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def hidden(ids, layer, index, d_model):
    """The fake's residual after `layer` at token `index`: depends on the tokens up to there, like a causal model's."""
    return _random("hidden", list(ids[: index + 1]), layer).normal(size=d_model).astype(np.float32)


def residual(prompt, layer, position, d_model):
    tokens = [hidden(prompt.ids, layer, index, d_model) for index in resolve(prompt, position)]
    return torch.from_numpy(np.mean(tokens, axis=0, dtype=np.float32))


def answers(prompt, n_options):
    logits = torch.from_numpy(_random("answer", list(prompt.ids)).normal(size=n_options + 1).astype(np.float32))
    return torch.log_softmax(logits, dim=0)


class FakeBackend:
    name, n_layers = "fake", 4

    def __init__(self, dtype=torch.float32, d_model=6, delay=0.0, edit=None, on_run=None):
        self.dtype, self.d_model, self.delay = dtype, d_model, delay
        self.edit, self.on_run = edit, on_run
        self.batches, self.interventions = [], []

    def fingerprint(self):
        return {"weights": "f" * 64, "dtype": str(self.dtype), "threads": "1"}

    def run(self, prompts, *, layers=(), positions=("answer",), options=None, interventions=()):
        self.batches.append(list(prompts))
        if self.on_run:
            self.on_run(prompts)
        time.sleep(self.delay)
        residuals = torch.empty(len(prompts), len(layers), len(positions), self.d_model, dtype=self.dtype)
        for i, prompt in enumerate(prompts):
            for j, layer in enumerate(layers):
                for k, position in enumerate(positions):
                    residuals[i, j, k] = residual(prompt, layer, position, self.d_model).to(self.dtype)
        n_options = len(options.labels) if options else 0
        read = torch.stack([answers(prompt, n_options) for prompt in prompts])
        outputs = Outputs(residuals, read[:, :n_options].contiguous(), read[:, n_options].contiguous())
        return self.edit(outputs) if self.edit else outputs


def make_rows(n_items=4, n_personas=3):
    """Items run in the outer loop, so that plan order and prefix order differ."""
    rows = []
    for item in range(n_items):
        for persona in range(n_personas):
            item_ids = [100 + 7 * item % 5, *range(50, 50 + item % 3), 200 + item]
            ids = (1, *[20 + persona] * 5, *item_ids, 9, 5)
            spans = {"item": (6, 6 + len(item_ids)), "eot": (len(ids) - 2, len(ids) - 1)}
            meta = {"persona": f"p{persona}", "item": f"i{item}", "order": "ab"}
            rows.append(Row(f"p{persona}/i{item}", Prompt(ids, f"text {persona} {item}", spans), meta))
    return tuple(rows)


def make_plan(backend, **changes):
    fields = {
        "name": "fake plan",
        "rows": make_rows(),
        "layers": LAYERS,
        "positions": POSITIONS,
        "options": OPTIONS,
        "context": {**backend.fingerprint(), "items": "a" * 64},
        "rows_per_shard": 5,
    }
    return Plan(**{**fields, **changes})


def expected_layer(plan, backend, layer, position):
    """What the store must return: shape (row, d_model), float32, in plan order."""
    rows = [residual(row.prompt, layer, position, backend.d_model).to(backend.dtype) for row in plan.rows]
    return torch.stack(rows).float().numpy()


def snapshot(folder):
    """Bytes of the folder's shards and plan by file name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".h5", ".json")}


def digest(data):
    """What the format says a block's digest is."""
    parts = [data[start : start + 2**21] for start in range(0, len(data), 2**21)] or [b""]
    return hashlib.sha256(b"".join(xxhash.xxh3_128(part).digest() for part in parts)).digest()


def block_values(file):
    """Every block of a shard opened with plain h5py, in the order of its digests."""
    residuals = file["residuals"][...]
    for layer in residuals:
        yield from layer
    names = ("option_logprobs", "other_logmass", "quarantined", "row_index", "rows", "token_ids")
    yield from (file[name][...] for name in names)


def mend(file):
    """Make the digests true of what is in the file."""
    digests = np.frombuffer(b"".join(digest(values.tobytes()) for values in block_values(file)), np.uint8)
    del file["digests"]
    file["digests"] = digests.reshape(-1, 32)


def forge(path, edit):
    """Edit a shard through h5py and mend the digests: valid by itself, but not what was written."""
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        edit(file)
        mend(file)


def remake(file, name, values):
    """Replace a dataset by one of another shape."""
    del file[name]
    file.create_dataset(name, data=values)


def drop_layer(file):
    remake(file, "residuals", file["residuals"][:-1])
    file.attrs["layers"] = np.bytes_("[0,3]")


FORGERIES = {
    "shard": lambda file: file.attrs.modify("shard", np.int64(2)),
    "layers": drop_layer,
    "options": lambda file: remake(file, "option_logprobs", np.zeros((5, 2), np.float32)),
    "rows": lambda file: file["row_index"].write_direct(np.array([0, 0, 1, 2, 3])),
}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def temporaries(folder):
    return [name for name in names(folder) if name.startswith(".tmp-")]
