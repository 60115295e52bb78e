"""A worker without a model: it computes things that a test can know, prints a lot, and misbehaves when told to."""

import os
import sys
import time

import numpy as np
from benchmarks.peers.serve import Library, serve

DIE, HANG, RAISE = 9001, 9002, 9003


def load(folder):
    print("a library that prints while it is imported")
    os.write(1, b"and one whose C code writes to standard output\n")
    if folder.name == "broken":
        sys.exit("no model in here")

    def capture(rows, layers):
        print("progress: 1 of 1", flush=True)
        os.system("echo a child process that prints")
        command = rows[0][0]
        if command == DIE:
            print("the last words")
            sys.stdout.flush()
            os._exit(7)
        if command == HANG:
            time.sleep(60)
        if command == RAISE:
            raise KeyError("not in this library")
        time.sleep(0.05)
        return np.array([[[sum(row), len(row), layer] for layer in layers] for row in rows], dtype=np.float32)

    def sweep(call):
        assert call.last_logits_only or call.coefficients
        return np.array(
            [
                [
                    [coefficient * vector.sum() + first + len(row) + sum(ids) for ids in call.options]
                    for row, first in zip(call.rows, call.first_steered, strict=True)
                ]
                for vector in call.vectors.values()
                for coefficient in call.coefficients
            ]
        )

    return Library(
        versions={"echo": "1"},
        threads=int(os.environ["OMP_NUM_THREADS"]),
        layers=3,
        positions="any",
        capture=capture,
        sweep=sweep,
        note=f"{sys.stdin.read()!r} {'personascope' in sys.modules} {folder}",
    )


if __name__ == "__main__":
    serve(load)
