"""`exomni evaluate` as its users call it, at smoke size: runs, VoiceBench prompts, files; what is left behind, and MLflow."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from examples import TEXTS
from parrot import HEARD

from exomni import arkit, cli, training
from exomni.artifacts.materialise import made_sources
from exomni.data.opening import open_dataset
from exomni.evaluation import command, verdicts
from exomni.evaluation import result as results
from exomni.evaluation.names import FORCED, bare
from exomni.evaluation.pictures import SyncNetJudge
from exomni.evaluation.prompts import of_corpus
from exomni.evaluation.teacher import truth_of
from exomni.report import formats
from exomni.report.evaluation import document
from exomni.stages.runs import stages_of
from exomni.types import Clip

SMOKE = {"over": ["smoke"]}


def truths_of(settings, count: int | None) -> list[Clip]:
    """The first test clips of the corpus."""
    sources = made_sources(settings, ("corpus", "units"))
    return [truth_of(sample) for sample in of_corpus(open_dataset(sources["corpus"], sources["units"]), FORCED, count)]


@pytest.fixture
def trained(smoke, train):
    """A smoke run."""
    settings = smoke()
    train(settings)
    return settings


@pytest.fixture
def given(trained, tmp_path):
    """Three test clips of the corpus as files."""
    folder = tmp_path / "given"
    folder.mkdir()
    for number, clip in enumerate(truths_of(trained, 3)):
        np.savez(folder / f"clip{number}.npz", coefficients=clip.face, names=np.array(arkit.NAMES), fps=30)
        soundfile.write(folder / f"clip{number}.wav", clip.audio, 16_000)
    return folder


@pytest.fixture
def voicebench(given, tmp_path):
    """Four prompts of a set as JSONL, one of them without a recording, and one with a torn one."""
    folder = tmp_path / "voicebench" / "commoneval"
    folder.mkdir(parents=True)
    rows = []
    for number in range(4):
        name = f"prompt{number}.wav"
        if number < 2:
            soundfile.write(folder / name, soundfile.read(given / f"clip{number}.wav")[0], 16_000)
        elif number == 2:
            (folder / name).write_bytes(b"torn")
        rows.append({"prompt": "What color is a lemon?", "audio": name if number < 3 else None})
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder.parent


def shown(result: Mapping[str, Any], folder: Path) -> list[str]:
    """The lines of a result's report."""
    return formats.text(document(result)).splitlines()


def scored(source, *words, **options) -> tuple[int, dict | None, list[str]]:
    """Exit code, the last result, what was said."""
    said: list[str] = []
    code = command.run(str(source), words, say=said.append, report=lambda *made: said.extend(shown(*made)), **SMOKE, **options)
    places = [re.match(r"wrote (\S+result\.json)", line) for line in said]
    paths = [place[1] for place in places if place]
    return code, json.loads(open(paths[-1]).read()) if paths else None, said  # noqa: PTH123, SIM115


def test_a_run_is_scored_by_the_builtin_suite_with_all_that_its_numbers_depend_on(trained):
    code, found, said = scored("nano", HEARD)
    assert code == 0
    assert found["suite"] == "builtin"
    assert {"sync_c", "text_to_face/sync_c", "speech_to_face/sync_c", "lve"} <= set(found["scores"])
    for name, (low, high) in found["intervals"].items():
        assert low <= high
        assert found["counted"][name] >= 1
    assert found["outputs"]["sync_c"]["better"] == "higher"
    assert set(found["versions"]) == {"exomni", "torch", "transformers", "numpy"}
    assert {"sync_expert", "stage dialogue", "stage speech_to_text"} <= set(found["weights"])
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in found["weights"].values())
    assert found["interval"] == {
        "method": "percentile bootstrap over clips, all answers to a prompt drawn together",
        "confidence": 0.95, "resamples": 1000, "seed": 0,
    }  # fmt: skip
    assert {*verdicts.FLOORS, "teacher", "teacher (codec audio)", "audio +5 frames"} <= set(found["controls"])
    assert any(line.startswith("sync_c ↑ ") for line in said)
    assert found["run"] == {"experiment": "nano", "seed": 0, "unit_fusion": "tqgf", "face_fusion": "tqgf"}
    assert found["command"] == "exomni evaluate nano transcriber=parrot"
    ceiling = found["bounds"]["mouth_rmse"]["ceiling"]  # not the teacher's own 0, which nothing could spoil
    assert ceiling["row"] == "teacher (other speed)" and 0 < ceiling["value"] < 0.1
    assert found["bounds"]["mouth_rmse"]["floor"]["row"] in verdicts.FLOORS
    assert found["scores"].keys().isdisjoint(name for name in found["absent"])
    assert any(line.startswith("text_to_face: speech_wer is ") for line in found["warnings"]), "it always hears the same"
    sentence = re.search(r"ceiling and its floor beside it; (.*?)\s+are\s+neither", TEXTS["docs/scores.md"], re.DOTALL)[1]
    neither = {name for name in found["scores"] if found["outputs"][bare(name)]["better"] == "none"}
    kinds = r"_(substitutions|deletions|insertions)$"
    assert set(re.findall(r"`(\w+)`", sentence)) == {re.sub(kinds, "", bare(name)) for name in neither}
    assert found["bounds"].keys() == found["scores"].keys() - neither
    assert all(ends.keys() == {"ceiling", "floor"} for ends in found["bounds"].values())
    assert any(line.startswith("WARNING ") for line in said), "an expert of ten steps cannot pass its controls"


def test_a_result_goes_to_mlflow_under_names_that_stay(trained):
    from mlflow.tracking import MlflowClient

    from exomni.tracking.store import uri

    _, found, _ = scored("nano", HEARD)
    client = MlflowClient(tracking_uri=uri())
    experiment = client.get_experiment_by_name("nano")
    runs = client.search_runs([experiment.experiment_id])
    (run,) = [run for run in runs if "suite/builtin/text_to_face/sync_c" in run.data.metrics]
    assert run.data.metrics["suite/builtin/text_to_face/sync_c"] == pytest.approx(found["scores"]["text_to_face/sync_c"])
    assert run.data.metrics["suite/builtin/sync_c_low"] == pytest.approx(found["intervals"]["sync_c"][0])
    assert run.data.metrics["suite/builtin/controls/audio -5 frames/sync_offset"] == pytest.approx(
        found["controls"]["audio -5 frames"]["sync_offset"]
    )
    assert run.data.tags["expert"] == "sync_expert"
    assert run.info.status == "FINISHED"


def test_the_command_writes_its_report_and_prints_it(trained, capsys):
    assert cli.main(["evaluate", "nano", HEARD, "--over", "smoke"]) == 0
    said = capsys.readouterr().out
    assert "WARNING " in said and re.search(r"^sync_c ↑ ", said, re.MULTILINE)
    page = Path(re.search(r"^report: (\S+report\.html)$", said, re.MULTILINE)[1]).read_text()
    assert '<p class="warning"><b>WARNING</b> ' in page and '<tr class="warning">' in page and "exomni evaluate nano" in page


def test_a_runs_folder_names_its_run(trained):
    assert training.run(trained) == training.SUCCESS, "everything is there: it is only shown"
    folder = training.folder_of(trained, stages_of(trained)[-1])
    said: list[str] = []
    assert command.run(str(folder), say=said.append) == 0
    assert any(line.startswith(("reused scores", "finished scores")) for line in said)


def test_a_cascade_is_scored_on_the_same_sound(trained):
    code, found, _ = scored("nano", "modes=[teacher_forced]", face_model="rules")
    assert code == 0
    assert set(found["n"]) == {"teacher_forced"}
    assert found["judges"]["face_model"]["name"] == "rules"
    assert 0 < found["scores"]["mouth_rmse"] < 0.06, "the corpus' teacher, but for its moods"
    _, loud, _ = scored("nano", "modes=[teacher_forced,text_to_face]", HEARD, face_model="energy")
    assert loud["scores"]["mouth_rmse"] > found["scores"]["mouth_rmse"]
    assert "text_to_face/sync_c" in loud["scores"]


def test_what_a_face_model_cannot_animate_is_counted(trained):
    code, found, _ = scored("nano", "modes=[text_to_face]", face_model="rules")
    assert found["n"]["text_to_face"] == 0
    assert len(found["excluded"]["text_to_face/face_model"]) == 4
    assert "has no alignment" in next(iter(found["excluded"]["text_to_face/face_model"].values()))
    assert {"teacher", "another clip's answer", "audio +5 frames"} <= set(found["controls"]), "without teacher_forced, too"


def test_heard_and_read_prompts_of_voicebench_are_answered_and_judged(trained, voicebench):
    words = (f"source={voicebench}", "weights=null", "crop=whole", "size=32", "limit=4", HEARD, "mos=none")
    code, found, said = scored("nano", *words, "expert=sync_expert", suites=["commoneval_s2f", "commoneval_t2f"])
    assert code == 0
    assert found["suite"] == "commoneval_t2f"
    assert found["n"] == {"text_to_face": 4}
    assert {"text_to_face/sync_c", "text_to_face/jitter", "text_to_face/energy_correlation"} <= set(found["scores"])
    assert found["absent"]["text_to_face/mos"] == "no MOS back end was chosen (mos: none)"
    assert {*verdicts.FLOORS, "audio +5 frames"} <= set(found["controls"])
    assert "commoneval: 4 of the 200 prompts of the published set" in said
    assert any(line.startswith("left out (speech_to_face) commoneval-2: its recording cannot be read") for line in said)
    assert any(line == "left out (speech_to_face) commoneval-3: it has no recording" for line in said)


def test_a_suite_without_its_data_costs_the_others_nothing(trained):
    code, _, said = scored("nano", "source=/nowhere", suites=["alpacaeval_s2f", "builtin"])
    assert code == 0
    assert "alpacaeval_s2f: not scored: /nowhere is not there; name the folder with the data (source=FOLDER)" in said
    said = []
    assert command.run("nano", ["source=/nowhere"], suites=["alpacaeval_s2f", "commoneval_s2f"], say=said.append, **SMOKE) == 1


def test_files_are_scored_and_compared_with_their_truth(given, trained):
    (given / "lonely.wav").write_bytes((given / "clip0.wav").read_bytes())
    code, found, said = scored(given, truth=given)
    assert code == 0
    assert found["n"] == {"files": 3}
    assert found["scores"]["mouth_rmse"] == 0
    assert {"sync_c", "jitter", "energy_correlation", "silence_closure"} <= set(found["scores"])
    assert set(found["excluded"]["files"]) == {"lonely"}
    assert any(line.startswith("left out (files) lonely: lonely.wav has no face beside it") for line in said)
    _, alone, _ = scored(given)
    assert alone["absent"]["mouth_rmse"] == "no true face was given to compare with"
    assert alone["scores"]["sync_c"] == pytest.approx(found["scores"]["sync_c"])
    assert found["controls"]["teacher"]["sync_c"] == pytest.approx(found["scores"]["sync_c"])  # the truth itself was given
    assert "teacher" not in alone["controls"]


def test_sounds_alone_are_scored_with_a_face_model(given, trained):
    truth = given.parent / "truth"
    truth.mkdir()
    for path in given.glob("*.npz"):
        path.rename(truth / path.name)
    code, found, _ = scored(given, face_model="energy", truth=truth)
    assert code == 0
    assert found["scores"]["energy_correlation"] > 0.5
    assert found["subject"] == "given + energy"
    assert found["counted"]["mouth_rmse"] == 3
    assert found["scores"]["mouth_rmse"] > 0


def test_syncnet_judges_files_on_rendered_faces_and_says_when_its_weights_are_random(given, trained):
    pytest.importorskip("pyvista")
    words = ("weights=null", "crop=analytic", "size=64", "limit=1", "shifts=[5]")
    code, found, _ = scored(given, *words, suites=["files_syncnet"])
    assert code == 0
    assert found["judges"]["expert"] == {
        "name": "syncnet",
        "overlap": "padded",
        "view": "emotalk",
        "crop": "analytic",
        "size": 64,
    }
    assert found["counted"]["sync_c"] == 1
    assert set(found["controls"]) == {"mean face", "resting face", "silence", "audio +5 frames"}
    assert any(line.startswith("no ceiling stands beside sync_c, sync_d") for line in found["notes"])
    assert found["warnings"][0] == results.REMARK
    assert found["weights"] == {"syncnet": "random"}


def test_without_syncnets_weights_all_but_the_sync_is_scored(given, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_ASSETS", str(tmp_path / "none"))
    code, found, said = scored(given, suites=["files_syncnet"])
    assert code == 0
    assert "jitter" in found["scores"]
    assert "exomni assets get syncnet" in found["absent"]["sync_c"]
    assert found["judges"]["expert"]["name"] == "syncnet"
    assert found["weights"] == {"syncnet": "absent"}


@pytest.mark.slow
def test_videos_are_for_syncnet(trained, tmp_path, given):
    pytest.importorskip("imageio_ffmpeg")
    from exomni.render.video import write_video

    folder = tmp_path / "films"
    folder.mkdir()
    generator = np.random.default_rng(0)
    sound = soundfile.read(given / "clip0.wav", dtype="float32")[0][:28_800]  # 1.8 s
    frames = len(sound) * 25 // 16_000
    for name in ("a", "b"):
        pictures = generator.integers(0, 255, (frames, 32, 32, 3), dtype=np.uint8)
        write_video(folder / f"{name}.mp4", pictures, fps=25, audio=sound, sample_rate=16_000)
    code, found, _ = scored(folder, "weights=null", "crop=whole", "shifts=[-5]", suites=["files_syncnet"])
    assert code == 0
    assert found["counted"]["sync_c"] == 2
    assert set(found["controls"]) == {*verdicts.FLOORS, "audio -5 frames"} - {"resting face"}
    assert all("sync_c" in row for row in found["controls"].values())
    with pytest.raises(ValueError, match="nothing could be scored\na: a video, and the built-in expert knows coefficients"):
        scored(folder)


@pytest.mark.parametrize(("words", "said"), [
    (["nano", "--suite", "files"], "the suite files scores a folder of files, and nano is none"),
    (["nano", "--truth", "x"], "--truth goes with a folder of files"),
    (["nano", "--suite", "builtn"], "did you mean 'builtin'"),
    (["nano", "--face-model", "emotlak"], "face_model.name: 'emotlak' is unknown"),
])  # fmt: skip
def test_mistakes_are_one_clear_line(logs, capsys, words, said):
    assert cli.main(["evaluate", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_an_empty_folder_is_said_to_be_empty(logs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert cli.main(["evaluate", str(tmp_path / "empty")]) == 2
    assert "empty holds nothing to score" in capsys.readouterr().err


def test_a_judges_identity_is_its_weights_content(tmp_path):
    (tmp_path / "syncnet_v2.model").write_bytes(b"one")
    first = SyncNetJudge(weights=str(tmp_path)).given().signature
    (tmp_path / "syncnet_v2.model").write_bytes(b"two")
    assert SyncNetJudge(weights=str(tmp_path)).given().signature != first
    assert SyncNetJudge(weights=str(tmp_path), crop="whole").recipe()["crop"] == "whole"


@pytest.mark.slow
def test_syncnet_judges_a_run_on_rendered_faces_and_answers_are_drawn_more_than_once(trained):
    pytest.importorskip("pyvista")
    words = ("expert=syncnet", "weights=null", "size=32", "limit=2", "shifts=[5]", "modes=[text_to_face]", "seeds=[0,1]", HEARD)
    code, found, _ = scored("nano", *words)
    assert code == 0
    assert found["judges"]["expert"]["name"] == "syncnet"
    assert found["judges"]["expert"]["overlap"] == "padded"
    assert found["n"]["text_to_face"] == 4
    assert found["counted"]["text_to_face/jitter"] == 4


@pytest.mark.slow
def test_a_trained_expert_follows_the_sound_frame_by_frame(smoke):
    """The whole of nano's expert takes minutes; 150 of its 800 steps on 200 of its 1000 sentences are enough to follow."""
    from exomni.evaluation.clip_scores import ClipScores, Pair
    from exomni.evaluation.controls import listening_controls, shifted
    from exomni.evaluation.judges import Judges
    from exomni.evaluation.verdicts import blind_metrics, unfit_expert
    from exomni.metrics.sync.scores import SyncScore

    settings = smoke("nano", "corpus.sentences=200", "sync_expert.steps=150")
    expert = Judges({"sync_expert": settings["sync_expert"]}, made_sources(settings, ("sync_expert",)))["expert"]
    clips = truths_of(settings, None)

    def report(found):
        return ClipScores({"sync": SyncScore(expert=expert)}).report([Pair(clip, clip) for clip in found])

    own = report(clips)
    for frames in range(-10, 11):
        moved = report(shifted(clips, frames)).values["sync_offset"]
        follows = [moved[id_] - offset == frames for id_, offset in own.values["sync_offset"].items()]
        assert np.mean(follows) > 0.9, frames
    reports = {"teacher": own} | {name: report(found) for name, found in listening_controls(clips).items()}
    rows, errors = ({name: getattr(each, part) for name, each in reports.items()} for part in ("scores", "errors"))
    directions = {"sync_c": "higher", "sync_d": "lower"}
    assert blind_metrics(rows, errors, directions) == {}
    assert unfit_expert(rows, offset=own.scores["sync_offset"]) == []
