"""A process that forks collectors on demand, so that the kill tests need not import torch for each victim.

Reads one JSON line per victim, {"folder", "log", "delay"}; answers {"pid"}, then {"status"} when the victim has ended.
The victim writes "run" to the log before each batch and "ack" after each acknowledged shard.
"""

import json
import os
import sys
from pathlib import Path

from activation_fakes import FakeBackend, make_plan

from personascope.activations.collect import collect

PLAN = make_plan(FakeBackend(), rows_per_shard=2)


def victim(order):
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    backend = FakeBackend(delay=order["delay"], on_run=lambda prompts: os.write(log, b"run\n"))
    collect(PLAN, backend, Path(order["folder"]), progress=lambda rows, tokens: os.write(log, b"ack %d\n" % rows))


def main():
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                victim(json.loads(line))
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
            os._exit(0)
        os.write(1, json.dumps({"pid": pid}).encode() + b"\n")
        os.write(1, json.dumps({"status": os.waitpid(pid, 0)[1]}).encode() + b"\n")


if __name__ == "__main__":
    main()
