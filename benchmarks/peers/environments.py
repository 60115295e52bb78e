"""Make one virtual environment per peer: `python -m benchmarks.peers.environments [--folder .peers] [NAME ...]`.

The peers pin versions that clash with ours (steering-vectors needs transformers 4, repeng numpy 1, nnterp nnsight 0.7),
so none of them can live in our own environment. Torch is the same version in all, and is installed first and alone, so
that no peer asks for another build of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from personascope.errors import PersonascopeError, nearest
from personascope.files import read_json, write_json

TORCH = "torch==2.13.0"
RECORD = "installed.json"


class PeerError(PersonascopeError):
    """A peer's environment cannot be made, or its process died, was silent for too long or reported an error."""


@dataclass(frozen=True)
class Environment:
    """What one peer's environment holds besides torch, pinned, and the worker that runs in it."""

    requirements: tuple[str, ...]
    worker: str


ENVIRONMENTS = {
    "saklas": Environment(("saklas==5.3.0", "transformers==5.23.0", "numpy==2.4.6"), "worker_saklas.py"),
    "repeng": Environment(("repeng==0.4.0", "transformers==5.23.0", "numpy==1.26.4"), "worker_repeng.py"),
    "steering-vectors": Environment(
        ("steering-vectors==0.12.2", "transformers==4.57.6", "numpy==2.4.6"), "worker_steering_vectors.py"
    ),
    "nnterp": Environment(
        ("nnterp==1.3.0", "nnsight==0.7.0", "transformers==5.23.0", "numpy==2.4.6"), "worker_nnterp.py"
    ),
}


def python_of(folder: Path, name: str) -> Path | None:
    """The interpreter of a peer's environment; None when it was not made, not to the end, or from other pins."""
    record = folder / name / RECORD
    wanted = [TORCH, *ENVIRONMENTS[name].requirements]
    if not record.is_file() or read_json(record).get("requirements") != wanted:
        return None
    # not resolved: the link in the environment's own bin is what selects the environment
    return folder.absolute() / name / "bin" / "python"


def make(folder: Path, name: str) -> None:
    """Make or renew one environment; its record, with everything that was installed, is written last.

    Raises:
        PeerError: the environment cannot be made or a requirement not be installed.
    """
    target = folder / name
    _run([sys.executable, "-m", "venv", "--clear", str(target)], name)
    pip = [str(target / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    requirements = ENVIRONMENTS[name].requirements
    _run([*pip, "install", TORCH], name)
    _run([*pip, "install", TORCH, *requirements], name)
    frozen = _run([*pip, "freeze"], name).splitlines()
    write_json(target / RECORD, {"requirements": [TORCH, *requirements], "installed": frozen})


def _run(command: list[str], name: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(
            f"The environment of {name} cannot be made: `{' '.join(command)}` ended with {done.returncode}.",
            "\n".join(done.stderr.splitlines()[-5:]),
            "Check that pip can reach a package registry and that the pins exist there.",
        )
    return done.stdout


def main() -> int:
    """Make the environments that are named (all by default) and not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ENVIRONMENTS)}; all by default")
    parser.add_argument("--folder", type=Path, default=Path(".peers"), help="where they go (default .peers)")
    options = parser.parse_args()
    console = Console(soft_wrap=True)
    for name in options.names or ENVIRONMENTS:
        if name not in ENVIRONMENTS:
            parser.error(f"no peer {name!r}.{nearest(name, ENVIRONMENTS)}")
        if python_of(options.folder, name) is not None:
            console.print(f"{name}: there already")
            continue
        console.print(f"{name}: installing {', '.join(ENVIRONMENTS[name].requirements)}")
        try:
            make(options.folder, name)
        except PeerError as error:
            console.print("\n".join(error.lines()), markup=False)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
