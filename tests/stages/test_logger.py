from __future__ import annotations

import json

from exomni.stages.logger import METRICS, JsonlLogger, read_lines


def steps_of(folder):
    return [line["step"] for line in read_lines(folder / METRICS)]


def test_every_line_is_on_the_disk_when_logged(tmp_path):
    logger = JsonlLogger(tmp_path)
    logger.log_metrics({"train/loss_face": 0.5, "epoch": 0}, step=3)
    (line,) = read_lines(tmp_path / METRICS)
    assert line["step"] == 3 and line["metrics"] == {"train/loss_face": 0.5} and line["time"] > 0


def test_what_is_not_finite_stays_valid_json_and_readable(tmp_path):
    JsonlLogger(tmp_path).log_metrics({"a": float("nan"), "b": float("inf")}, step=0)
    text = (tmp_path / METRICS).read_text()
    found = json.loads(text, parse_constant=lambda word: 1 / 0)["metrics"]
    assert float(found["a"]) != float(found["a"]) and float(found["b"]) == float("inf")


def test_resuming_drops_what_came_after_the_checkpoint_and_a_torn_line(tmp_path):
    logger = JsonlLogger(tmp_path)
    for step in (10, 20, 30):
        logger.log_metrics({"train/loss": step}, step=step)
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 40, "met')
    resumed = JsonlLogger(tmp_path, resume_step=20)
    resumed.log_metrics({"train/loss": 20}, step=20)  # Lightning may log the checkpoint's step again
    resumed.log_metrics({"val/loss": 20}, step=20)
    resumed.log_metrics({"train/loss": 30}, step=30)
    assert steps_of(tmp_path) == [10, 20, 20, 30]


def test_without_a_checkpoint_the_file_starts_anew(tmp_path):
    JsonlLogger(tmp_path).log_metrics({"a": 1}, step=7)
    JsonlLogger(tmp_path).log_metrics({"a": 1}, step=0)
    assert steps_of(tmp_path) == [0]
