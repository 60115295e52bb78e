"""An interview on a real terminal: typed answers, one taken back, Ctrl-C in the middle, and going on."""

import json
import os
import select
import signal
import sys
import time

import pytest

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
PROMPT = b"   > "
PATIENCE = 120


def converse(arguments: list[str], typed: list[bytes]) -> tuple[str, int]:
    """Run the command on a terminal and type one of these at each prompt; what was shown, and the exit code."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background may have it ignored
        os.execv(sys.executable, [sys.executable, "-m", "personascope.cli", *arguments])
    shown, answered, end = b"", 0, time.monotonic() + PATIENCE
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                read = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            if not read:
                break
            shown += read
            if shown.count(PROMPT) > answered and answered < len(typed) and shown.endswith(PROMPT):
                time.sleep(0.5)  # until it waits for what is typed: a signal before that is noticed in any case
                os.write(terminal, typed[answered])
                answered += 1
        else:
            os.kill(child, signal.SIGKILL)
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(status)


def test_ctrl_c_ends_a_terminal_interview_at_once_and_loses_nothing(tmp_path):
    out = tmp_path / "interview.json"
    command = ["interview", "--questions", "4", "--out", str(out)]
    shown, code = converse(command, [b"4\n", b"2\n", b"9\n", b"b\n", b"3\n", b"\x03"])
    assert code == 130 and "Traceback" not in shown
    assert "1 to 5, b or q, please." in shown
    assert [one["answer"] for one in json.loads(out.read_text())["answers"]] == [4, 3]
    shown, code = converse(command, [b"5\n", b"1\n"])
    assert code == 0 and "2 answers in" in shown and "Sincerity" in shown
    assert [one["answer"] for one in json.loads(out.read_text())["answers"]] == [4, 3, 5, 1]
