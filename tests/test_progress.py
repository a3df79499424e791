from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest

from exomni import progress
from exomni.artifacts.progress import Progress
from exomni.progress import Meter

PACKAGE = Path(progress.__file__).parent


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_now_and_then_with_rate_and_time_left(clock):
    out = io.StringIO()
    meter = Meter("thing", unit="B", stream=out)
    for clock[0], have in ((0.0, 1_000_000), (10.0, 2_000_000), (45.0, 10_000_000), (46.0, 500_000), (56.0, 19_000_000)):
        meter(have, 19_000_000)
    lines = out.getvalue().splitlines()
    assert [re.search(r"([\d.]+M|500k)/19.0M", line)[1] for line in lines if "starts over" not in line] == [
        "1.00M", "10.0M", "500k", "19.0M"
    ]  # fmt: skip
    assert "200kB/s" in lines[1] and "00:45<00:45" in lines[1], "what was there before counts for no rate"
    assert lines[2] == "thing starts over"
    assert "\r" not in out.getvalue()


def test_short_work_says_nothing(clock):
    out = io.StringIO()
    Meter("thing", stream=out)(5, 5)
    Meter("thing", stream=out)(0, 0)
    assert not out.getvalue()


def test_a_terminal_sees_one_bar_that_is_gone_at_the_end():
    out = Terminal()
    meter = Meter("thing", stream=out)
    meter(0, 20)
    time.sleep(0.11)
    meter(10, 20)
    assert "thing:  50%" in out.getvalue() and "10/20" in out.getvalue()
    meter(20, 20)
    assert out.getvalue().endswith("\r") and not out.getvalue().rpartition("10/20")[2].split("\r")[-2].strip()


def test_the_launcher_writes_lines_and_below_them_a_bar():
    out, plain = Terminal(), io.StringIO()
    for stream in (out, plain):
        told = Progress(stream)
        told.line("started tqgf, seed 0")
        told.running(3, 10, [("tqgf, seed 0: dialogue 40/140", 61.0)], 125.0)
        told.line("finished")
    assert "3/10 jobs, 0:00 elapsed, about 2:05 left: tqgf, seed 0: dialogue 40/140 (1:01)" in out.getvalue()
    assert plain.getvalue().splitlines()[1:] == [
        "running tqgf, seed 0: dialogue 40/140 (1:01): 3/10 jobs done, 0:00 elapsed, about 2:05 left", "finished"
    ]  # fmt: skip


def test_nobody_draws_a_meter_of_his_own():
    own = {PACKAGE / "progress.py", PACKAGE / "artifacts" / "progress.py"}
    for path in set(PACKAGE.rglob("*.py")) - own:
        text = path.read_text()
        assert r'"\r' not in text and "tqdm" not in text and "PROGRESS_BAR" not in text, path
