"""The conformance suite of metrics: every metric of the package passes it, and mistakes that plugins make do not."""

import inspect

import pytest
from test_ranks import Ear, Expert, Listener, Opinion, head

from exomni.config import registry
from exomni.metrics.base import NOTHING, Output, Tally, TallyMetric
from exomni.metrics.speech.normaliser import normaliser_reason
from exomni.testing import metric_suite

PARTS = {"head": head(), "expert": Expert(), "mos": Opinion(), "transcriber": Listener(), "recogniser": Ear()}
NAMES = [entry.name for entry in registry.entries("metric") if entry.origin == "exomni"]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_passes(name):
    if name in ("speech_wer", "speech_cer") and normaliser_reason():
        pytest.skip(normaliser_reason())
    asked = inspect.signature(registry.get("metric", name).cls).parameters
    found = metric_suite(name, **{part: value for part, value in PARTS.items() if part in asked})
    assert found.metric == name and set(found.values) == {each.name for each in registry.get("metric", name).cls.outputs}


class Mean(TallyMetric):
    outputs = (Output("mean_jaw", "", "none", "mean coefficient"),)

    def measure(self, prediction, truth):
        return {"mean_jaw": Tally(float(prediction.face.sum()), prediction.face.size)}


class MeanOfMeans(Mean):
    """Averages what does not add up."""

    def tallies(self):
        return {"mean_jaw": Tally(float(self.compute()["mean_jaw"]), 1.0)}


class LooksAside(Mean):
    """Says that it needs no truth, and uses it."""

    needs_truth = False

    def measure(self, prediction, truth):
        return {"mean_jaw": Tally(float(truth.face.sum()), truth.face.size)}


class Silent(Mean):
    def measure(self, prediction, truth):
        return {"mean_jaw": NOTHING}


class Tidies(Mean):
    def measure(self, prediction, truth):
        prediction.face[:, 0] = 0
        return super().measure(prediction, truth)


class Forgets(Mean):
    """Keeps a sum outside of the states, so that neither merging nor reset knows of it."""

    seen = 0

    def measure(self, prediction, truth):
        self.seen += len(prediction.face)
        return {"mean_jaw": Tally(float(self.seen), 1.0)}


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (MeanOfMeans, "tallies: .* differ from compute"),
        (LooksAside, "needs_truth is False, but another truth"),
        (Silent, "no clip counts"),
        (Tidies, "changes the clips"),
        (Forgets, "shards: two shards, merged, differ"),
    ],
)
def test_mistakes_are_named(cls, said, monkeypatch):
    monkeypatch.setattr(registry._state, "entries", dict(registry._state.entries))
    registry.register("metric", "mistaken")(cls)
    with pytest.raises(AssertionError, match=f"metric mistaken: .*{said}"):
        metric_suite("mistaken")
