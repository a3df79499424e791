"""The status of 10,000 jobs: counted work."""

from __future__ import annotations

from benchmarks import status as benchmark
from exomni.artifacts import status


def test_the_files_that_are_opened_do_not_grow_with_the_jobs(tmp_path, monkeypatch):
    opened = {}
    for jobs in (100, 10_000):
        logs = tmp_path / str(jobs)
        monkeypatch.setenv("EXOMNI_LOGS", str(logs))
        benchmark.make_up(logs, jobs)
        for name, said in ((None, 1 + benchmark.RUNNING), ("many", 1 + jobs)):
            cost = benchmark.measure(lambda name=name: status.text(name))
            assert cost["lines"] == said
            opened.setdefault(name, set()).add(cost["opened"])
    assert all(len(counts) == 1 for counts in opened.values()), opened
    summary = status.text().splitlines()
    assert summary[0] == "many: 8992/10000 complete, 8 running, 1000 failed"
    assert summary[1].endswith("dialogue 0/140, 1:01 left, 1 of 2")
