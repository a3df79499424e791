"""The ledger on disk: torn ends, one writer, and a reader beside it."""

from exomni.artifacts import ledger
from exomni.artifacts.ledger import Ledger, opened


def test_a_torn_last_line_is_left_out_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with opened(path, print) as book:
        book.write("started", "a", "s1", log="a.log")
        book.write("finished", "a", "s1", seconds=1.5)
    with path.open("ab") as file:
        file.write(b'{"time": "2026-11-21", "event": "star')
    assert [event.event for event in ledger.read(path)] == ["started", "finished"]
    with opened(path, print) as book:
        assert len(book.events) == 2
        book.write("started", "b", "s2")
    events = ledger.read(path)
    assert [(event.job, event.event) for event in events] == [("a", "started"), ("a", "finished"), ("b", "started")]
    assert events[1].details["seconds"] == 1.5


def test_the_latest_event_is_per_job_and_signature(tmp_path):
    with opened(tmp_path / "ledger.jsonl", print) as book:
        book.write("failed", "a", "old", error="x")
        book.write("started", "a", "new")
        found = ledger.latest(book.events)
    assert found["a", "old"].event == "failed" and found["a", "new"].event == "started"


def test_one_at_a_time_writes_and_the_next_is_told_whom_it_waits_for(tmp_path):
    path = tmp_path / "which" / "ledger.jsonl"
    first, second = Ledger(path), Ledger(path)
    assert first.acquire() == ""
    assert second.acquire().startswith("process ")
    first.write("finished", "a", "s")
    first.close()
    assert second.acquire() == "" and [event.event for event in second.events] == ["finished"]
    second.close()
