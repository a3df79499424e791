"""Every YAML that is shipped: experiments build without weights and run at smoke size, ablations can be planned anywhere."""

from pathlib import Path

import pytest

from exomni import cli, config
from exomni.ablation import launch, plan
from exomni.stages import parameters
from exomni.stages.runs import stages_of

REPOSITORY = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(
    path for path in (REPOSITORY / "experiments").rglob("*.yaml") if path.stem != "smoke" and path.parent.name != "evaluation"
)
ABLATIONS = sorted((REPOSITORY / "ablations").glob("*.yaml"))
WHOLE = [path for path in EXPERIMENTS if path.stem != "base"]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_an_experiment_builds_without_weights_also_at_smoke_size(path, logs):
    for over in ([], ["smoke"]):
        sizes = parameters.measure(config.load(path, over=over))
        assert sizes.total.parameters > 100_000
        assert sizes.stages[-1].trainable > 0


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_can_be_planned_without_data_and_weights(path, logs, capsys):
    assert cli.main(["ablate", str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    made = plan.make(path)
    assert f"{len(made.cells)} cells" in out
    assert not (logs / "artifacts").exists()


def test_the_papers_table_6_has_its_four_rows_and_shares_stage_i(logs):
    made = plan.make("fusion")
    assert [cell.label for cell in made.cells] == ["tqgf", "tokens_only", "hidden_only", "concat"]
    assert [stage.name for stage in made.cells[0].stages] == ["speech_to_text", "speech_face.joint", "dialogue"]
    first, second, third = zip(*([stage.signature for stage in cell.stages] for cell in made.cells))
    assert (len(set(first)), len(set(second)), len(set(third))) == (1, 4, 4)
    for cell in made.cells[1:]:
        assert {path for path in made.base.difference(cell.config) if not path.startswith("model.face_fusion.")} == set()


def test_a_dry_run_says_what_is_not_here_and_a_run_refuses_before_any_work(logs, capsys):
    assert cli.main(["ablate", "fusion", "--dry-run"]) == 0
    line = "corpus.path: data/ex_omni has no manifest.jsonl; name the folder that holds one (corpus.path=FOLDER)"
    assert f"not here yet, so these signatures stand for its absence: {line}" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="corpus.path: data/ex_omni has no manifest.jsonl"):
        launch.run("fusion")
    assert cli.main(["train", "ex_omni"]) == 2
    assert line in capsys.readouterr().err.splitlines()[0]
    assert not any((logs / name).exists() for name in ("artifacts", "runs", "ablations", "mlflow.db"))


def test_signatures_follow_the_manifest_and_a_named_revision(logs, tmp_path):
    def first(*overrides: str) -> str:
        return stages_of(config.load("ex_omni", overrides))[0].signature

    absent = first()
    (tmp_path / "manifest.jsonl").write_text("{}\n")
    given = first(f"corpus.path={tmp_path}")
    (tmp_path / "manifest.jsonl").write_text("{}\n\n")
    assert len({absent, given, first(f"corpus.path={tmp_path}")}) == 3
    assert first("model.llm.weights=Qwen/Qwen3-8B@main") == absent != first("model.llm.weights=Qwen/Qwen3-8B@v2")


@pytest.mark.slow
@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_an_experiment_runs_at_smoke_size(path, smoke, train):
    """All stages; what experiments share (nano backbones, codec, first stages) is made once for all of these tests."""
    chain = train(smoke(path))
    assert chain and all(stage.complete for stage in chain)
