"""The nano run at its whole size: what the README and `--help` show is what it answers, and its speech can be understood."""

import re
import shlex
from pathlib import Path

import pytest
from examples import HELP, README, REPOSITORY

from exomni import cli, config

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]  # seconds; about ten minutes of a quiet core
EXAMPLES = [
    line.partition("  #")[0] for line in README.splitlines() if line.startswith("exomni generate experiments/nano.yaml")
]
PROMPTS = 40
MOST_PHONE_ERRORS = 0.30


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    """Those of one finished nano run of the default seed."""
    logs = tmp_path_factory.mktemp("nano") / "logs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXOMNI_HOME", str(REPOSITORY))
        patch.setenv("EXOMNI_LOGS", str(logs))
        assert cli.main(["train", "experiments/nano.yaml"]) == 0
    return logs


@pytest.fixture
def nano(outputs, monkeypatch):
    monkeypatch.setenv("EXOMNI_HOME", str(REPOSITORY))
    monkeypatch.setenv("EXOMNI_LOGS", str(outputs))
    return config.load("nano")


@pytest.mark.parametrize("command", [*EXAMPLES, HELP["generate"]])
def test_the_answer_that_is_shown_is_the_answer(nano, command, tmp_path, monkeypatch, capsys):
    shown = re.search(r"^(A lemon is .*)$", README, re.MULTILINE).group(1)
    monkeypatch.chdir(tmp_path)
    assert "What color is a lemon?" in command
    assert cli.main([*shlex.split(command)[1:], "--formats", "text"]) == 0
    assert shown in capsys.readouterr().out.splitlines()
    assert "yellow" in shown and (tmp_path / "answer" / "answer.txt").read_text().strip() == shown


def test_generated_speech_can_be_understood_and_another_sentence_cannot(nano):
    from exomni.evaluate.answers import generated, load
    from exomni.evaluate.bench import Bench
    from exomni.evaluate.control_rows import shuffled
    from exomni.metrics.phones import PhoneErrorRate
    from exomni.model.ex_omni import generation_settings
    from exomni.stages.assemble import collator_for

    bench, model = Bench(nano), load(nano)
    asked = bench.test("ttsf", PROMPTS)
    said = generated(model, collator_for(model), bench.codec, asked, generation_settings(nano), PROMPTS)
    clips = [pair.prediction for pair in said]
    rates = []
    for heard in (clips, shuffled(clips)):
        metric = PhoneErrorRate(recogniser=bench.parts["recogniser"])
        metric.prepare(heard)
        for clip in heard:
            metric.update(clip, clip)
        rates.append(float(metric.compute()["per"]))
    assert rates[0] <= MOST_PHONE_ERRORS and rates[1] > 0.7, rates
