"""A package outside the tree brings a metric and a corpus."""

import os
import subprocess
import sys

import pytest
from test_plugins import install

DATA = '''
import json
import numpy as np
from exomni.config.registry import register
from exomni.data.corpora import Corpus
from exomni.metrics import Output, Tally, TallyMetric

@register("metric", "outside_smile")
class Smile(TallyMetric):
    """Mean smile of the prediction, from another package."""
    outputs = (Output("outside_smile", "", "none", "mean of the first coefficient"),)
    needs_truth = False
    def __init__(self, *, gain: float = 1.0):
        super().__init__()
        self.gain = gain
    def measure(self, prediction, truth):
        return {"outside_smile": Tally(self.gain * float(prediction.face[:, 0].sum()), len(prediction.face))}

@register("corpus", "outside_corpus")
class Texts(Corpus):
    """A corpus of texts, from another package."""
    def __init__(self, *, count: int = 3):
        self.count = count
    def build(self, folder, progress=None):
        turns = lambda place: [{"role": "user", "text": "Hi."}, {"role": "assistant", "text": "Ho." * (1 + place)}]
        rows = [{"id": str(place), "task": "t2t", "turns": turns(place)} for place in range(self.count)]
        (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
        return {"samples": self.count}
'''
MAKE = """
from exomni import config
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.making import make
from exomni.data.manifest import read_manifest
from exomni.testing import metric_suite
print(metric_suite("outside_smile", gain=2.0).values)
words = ["corpus={name: outside_corpus, count: 4}", "evaluation.metrics=[outside_smile]"]
corpus = Artifacts(config.load("nano", words)).made("corpus")
print(corpus.signature, len(read_manifest(make(corpus))))
"""


@pytest.mark.slow
def test_a_plugin_brings_a_metric_and_a_corpus(tmp_path, logs):
    install(tmp_path, "data_plugin", DATA)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def made() -> list[str]:
        result = subprocess.run(
            [sys.executable, "-c", MAKE], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        assert result.returncode == 0, result.stderr
        assert "'outside_smile': " in result.stdout
        return result.stdout.splitlines()[-1].split()

    signature, count = made()
    assert count == "4"
    source = tmp_path / "data_plugin.py"
    source.write_text(source.read_text() + "\n# another thought\n")
    assert made() == [signature, "4"], "words change nothing"
    source.write_text(source.read_text().replace('"Ho."', '"Hey."'))
    assert made()[0] != signature, "an edited corpus is made anew"
