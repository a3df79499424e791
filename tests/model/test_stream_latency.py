"""Latency of real streams: the order of their parts, and a face that waits for the whole answer against one that does not."""

import pytest
from test_streaming import CAUSAL, SETTINGS, NeighbourCodec

from exomni.metrics.latency import MEASURES, measure
from exomni.model.generation.streaming import Pace, stream
from exomni.stages.assemble import collator_for


class WorkClock:
    """Ticks once each time it is looked at: pieces are counted, not timed, so that a busy machine changes nothing."""

    def __init__(self) -> None:
        self.ticks = 0

    def __call__(self) -> int:
        self.ticks += 1
        return self.ticks


@pytest.mark.parametrize(("fusion", "early"), [(CAUSAL, True), ("tqgf", False)])
def test_parts_come_in_their_order(tiny_model, read, fusion, early):
    model = tiny_model(fusion, frame_clock="exact")
    batch = collator_for(model).prompts([read("The dog ran")])
    codec, pace = NeighbourCodec(), Pace(chunk_units=4)
    scores = measure(
        lambda prompt: stream(model, prompt, SETTINGS, codec=codec, pace=pace), [batch], warmups=1, clock=WorkClock()
    )
    (found,) = scores.requests
    assert all(scores.compute()[f"{name}_count"] == 1 for name in MEASURES)
    assert found.ttft_text < found.t_first_unit < found.ttfa < found.e2el
    assert found.t_first_unit_from_text == 1  # the first unit is the piece after the last text
    assert (found.ttff < found.e2el) == early
    assert found.face_latency == 1
