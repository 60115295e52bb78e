"""Call a peer that runs in a process of its own, in its own environment.

    for name, process in available_peers(options.peers).items():
        with process as peer:
            seconds, theirs = peer.capture([prompt.ids for prompt in prompts], layers)

The seconds are taken inside the worker around the library's call, so starting, loading and moving arrays do not count.
A worker waits, idle, between calls, so contenders can take turns round by round.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.peers.environments import ENVIRONMENTS, PeerError, python_of
from personascope.models.embedded import embedded_folder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STDERR_LINES = 8


@dataclass(frozen=True)
class About:
    """What a worker says of its library; see `benchmarks.peers.serve.Library`. `seconds` is the time of loading."""

    versions: dict[str, str]
    threads: int
    layers: int
    positions: str
    note: str
    seconds: float


class PeerProcess:
    """A peer at work on one model: a context manager that starts the worker, loads the model, and ends the worker.

    Args:
        python: interpreter of the peer's environment.
        worker: the Python file that runs in it and ends in `serve(load)`.
        model_folder: a local Hugging Face model.
        threads: CPU threads of the worker.
        timeout: seconds that one call may take.
        name: for messages; the worker's file name by default.

    Raises:
        PeerError: on entry, and by every call: the worker died, was silent for longer than `timeout` (it is then
            ended), or its library raised an error (the worker lives on).
    """

    about: About

    def __init__(
        self,
        python: Path,
        worker: Path,
        model_folder: Path,
        threads: int = 2,
        timeout: float = 600.0,
        name: str | None = None,
    ) -> None:
        self.python, self.worker, self.model_folder = python, worker, model_folder
        self.threads, self.timeout, self.name = threads, timeout, name or worker.stem
        self._replies: queue.Queue[str | None] = queue.Queue()
        self._calls = 0

    def __enter__(self) -> PeerProcess:
        self._folder = tempfile.TemporaryDirectory(prefix="peer-")
        self._stderr = Path(self._folder.name) / "stderr.txt"
        # only the repository's root is on the path: nothing of our own environment must leak into the peer's
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PYTHONSAFEPATH": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_NUM_THREADS": str(self.threads),
            "MKL_NUM_THREADS": str(self.threads),
        }
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [str(self.python), str(self.worker)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
                text=True,
                encoding="utf-8",
            )
        assert self._process.stdout is not None
        self._reader = Thread(target=_forward, args=(self._process.stdout, self._replies), daemon=True)
        self._reader.start()
        try:
            self.about = self.load()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def load(self) -> About:
        """Load the library and the model (anew); entering the context has done it once."""
        return About(**self._call("load", folder=str(self.model_folder)))

    def capture(self, rows: Sequence[Sequence[int]], layers: Sequence[int]) -> tuple[float, np.ndarray]:
        """The residual stream after each of `layers` at the last position of each row, by the library's own path.

        Args:
            rows: token ids of each prompt, unpadded.
            layers: 0-based blocks, fewer than `about.layers`.

        Returns:
            (seconds, float32 array (row, layer, d_model)), rows in the order given.
        """
        return self._array("capture", rows=_lists(rows), layers=list(layers))

    def sweep(
        self,
        rows: Sequence[Sequence[int]],
        vectors: Mapping[int, np.ndarray],
        coefficients: Sequence[float],
        options: Sequence[Sequence[int]],
        *,
        first_steered: Sequence[int] | None = None,
        last_logits_only: bool = True,
    ) -> tuple[float, np.ndarray]:
        """Answers under every layer and coefficient, steered by the library's own means.

        Args:
            rows: token ids of each prompt, unpadded.
            vectors: (d_model,) by layer; coefficient * vector is added to the output of that block.
            coefficients: in units of the vectors.
            options: for each answer option the token ids that spell it (`Options.token_ids`).
            first_steered: for each row the first token that is steered; it and all after it are. len(row) - 1 means the
                answer position, a span's start its suffix, 0 (the default) all tokens, and a peer with
                `about.positions == "all"` takes nothing else.
            last_logits_only: have logits of the last position only, as a careful user asks; False is the everyday way.

        Returns:
            (seconds, log-probabilities (cell, row, option)); cells go layer by layer, in the order of `vectors`, with
            the coefficients inside.
        """
        starts = [0] * len(rows) if first_steered is None else [int(start) for start in first_steered]
        if len(starts) != len(rows):
            raise ValueError(f"{len(starts)} values of first_steered for {len(rows)} rows.")
        file = Path(self._folder.name) / "vectors.npy"
        np.save(file, np.stack([np.asarray(v, dtype=np.float32) for v in vectors.values()]), allow_pickle=False)
        return self._array(
            "sweep",
            rows=_lists(rows),
            layers=list(vectors),
            vectors=str(file),
            coefficients=[float(c) for c in coefficients],
            first_steered=starts,
            options=_lists(options),
            last_logits_only=last_logits_only,
        )

    def _array(self, call: str, **arguments: Any) -> tuple[float, np.ndarray]:
        self._calls += 1
        out = Path(self._folder.name) / f"{self._calls}.npy"
        seconds = self._call(call, out=str(out), **arguments)["seconds"]
        array = np.load(out, allow_pickle=False)
        out.unlink()
        return float(seconds), array

    def _call(self, call: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"call": call, **arguments}) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._died(call) from None
        try:
            line = self._replies.get(timeout=self.timeout)
        except queue.Empty:
            self._process.kill()
            raise PeerError(
                f"{self.name} did not answer `{call}` within {self.timeout:g} s, and was ended.",
                self._last_lines(),
                "Give it fewer rows or a longer timeout.",
            ) from None
        if line is None:
            raise self._died(call)
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(f"{self.name} failed in `{call}`: {reply['error']}", self._last_lines())
        return reply

    def _died(self, call: str) -> PeerError:
        code = self._process.wait()
        return PeerError(
            f"{self.name} died in `{call}` with exit code {code}.",
            self._last_lines(),
            f"Run `{self.python} {self.worker}` with PYTHONPATH={ROOT} to see more.",
        )

    def _last_lines(self) -> str:
        lines = self._stderr.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-STDERR_LINES:]) or "It wrote nothing to standard error."

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # the end of its input is the worker's sign to leave
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._folder.cleanup()


def _forward(lines: IO[str], replies: queue.Queue[str | None]) -> None:
    """Move replies into a queue, which can be waited on with a time limit; None marks the worker's end."""
    for line in lines:
        replies.put(line)
    replies.put(None)


def _lists(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[int(token) for token in row] for row in rows]


def available_peers(folder: Path | None) -> dict[str, PeerProcess]:
    """The peers whose environments are in `folder`, for SmolLM2, not yet started; a line is printed for the others.

    Args:
        folder: where `python -m benchmarks.peers.environments --folder FOLDER` made them; None for no peers at all.
    """
    found: dict[str, PeerProcess] = {}
    for name, environment in ENVIRONMENTS.items() if folder is not None else ():
        python = python_of(folder, name)
        if python is None:
            Console(soft_wrap=True).print(f"{name}: no environment (python -m benchmarks.peers.environments)")
        else:
            model, threads = embedded_folder("smollm2"), torch.get_num_threads()
            found[name] = PeerProcess(python, HERE / environment.worker, model, threads, name=name)
    return found
