"""Ours against the peers, side by side in one process: `python -m benchmarks.NAME [--json FILE]`."""
