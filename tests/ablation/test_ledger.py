from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from exomni.ablation import ledger
from exomni.ablation.ledger import Ledger, LedgerBusy


def test_a_torn_last_line_is_left_out_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as book:
        book.write("started", "a", "s1", log="a.log")
        book.write("finished", "a", "s1", seconds=1.5)
    with path.open("ab") as file:
        file.write(b'{"time": "2026-11-21", "event": "star')
    assert [event.event for event in ledger.read(path)] == ["started", "finished"]
    with Ledger(path) as book:
        assert len(book.events) == 2
        book.write("started", "b", "s2")
    events = ledger.read(path)
    assert [(event.job, event.event) for event in events] == [("a", "started"), ("a", "finished"), ("b", "started")]
    assert events[1].details["seconds"] == 1.5


def test_the_latest_event_is_per_job_and_signature(tmp_path):
    with Ledger(tmp_path / "ledger.jsonl") as book:
        book.write("failed", "a", "old", error="x")
        book.write("started", "a", "new")
        found = ledger.latest(book.events)
    assert found["a", "old"].event == "failed" and found["a", "new"].event == "started"


def test_only_one_process_writes_and_a_killed_one_leaves_no_lock(tmp_path):
    path = tmp_path / "which" / "ledger.jsonl"
    code = (
        "import sys, time, pathlib; from exomni.ablation.ledger import Ledger\n"
        "with Ledger(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LedgerBusy, match=f"which is already running .pid {holder.pid} on "), Ledger(path):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    time.sleep(0.05)
    with Ledger(path) as book:
        book.write("queued", "a", "s")
