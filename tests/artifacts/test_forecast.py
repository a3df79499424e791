from __future__ import annotations

from dataclasses import dataclass

import pytest

from exomni.artifacts import forecast


@dataclass(frozen=True)
class Work:
    id: str
    shape: str = "x"
    needs: tuple[str, ...] = ()


JOBS = [Work("corpus"), Work("stage", "y", ("corpus",)), Work("cell", "z", ("stage",)), Work("other", "z", ("corpus",))]
SECONDS = {"corpus": 10.0, "stage": 20.0, "cell": 5.0, "other": 8.0}


def test_the_longest_chain_goes_first():
    assert forecast.urgency(JOBS, SECONDS) == {"corpus": 35.0, "stage": 25.0, "cell": 5.0, "other": 8.0}


@pytest.mark.parametrize(("slots", "wall"), [(1, 43.0), (2, 35.0), (9, 35.0)])
def test_wall_time_by_hand(slots, wall):
    assert forecast.wall_seconds(JOBS, SECONDS, slots=slots) == wall


def test_what_running_jobs_have_spent_is_over():
    assert forecast.wall_seconds(JOBS, SECONDS, slots=2, spent={"corpus": 9.0}) == 26.0


def test_known_shapes_cost_their_median_and_guesses_are_scaled_by_them():
    found = forecast.forecast([Work("a", "corpus/corpus"), Work("b", "backbone/llm")], {"corpus/corpus": [3.0, 60.0, 60.0]})
    scale = 60.0 / forecast.GUESSES["corpus/corpus"]  # how much slower this machine is than the guesses
    assert found.seconds == {"a": 60.0, "b": pytest.approx(scale * forecast.GUESSES["backbone/llm"])}
    assert found.known == {"a"} and not found.measured
