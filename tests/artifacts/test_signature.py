"""What decides an identity and what does not: sources, versions, settings, given data and weights, judges."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exomni import config
from exomni.artifacts import order, signature
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.graph import plan
from exomni.artifacts.making import StaleOrderError
from exomni.config.signatures import source_of
from exomni.evaluation.artifacts import controls, scores
from exomni.stages.runs import stages_of

REPOSITORY = Path(__file__).resolve().parents[2]
PREPARED = ("corpus", "codec", "units", "statistics", "sync_expert", "backbone/speech_encoder", "backbone/llm")


@pytest.fixture
def fresh():
    """Sources and versions are read anew, before and after the test."""
    caches = [one for one in vars(signature).values() if hasattr(one, "cache_clear")]

    def clear():
        for cache in caches:
            cache.cache_clear()

    clear()
    yield clear
    clear()


def identities(settings) -> dict[str, str]:
    """Signatures of all that a run is made of, by name."""
    artifacts = Artifacts(settings)
    found = {wish: artifacts[wish].signature for wish in PREPARED}
    found |= {stage.name: stage.signature for stage in stages_of(settings, artifacts)}
    return found | {"scores": scores(artifacts).signature, "controls": controls(artifacts).signature}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


STAGES = {"speech_to_text", "speech_face.units", "speech_face.joint", "dialogue"}
SCORED = {"scores", "controls"}


def test_a_hash_is_the_same_for_the_same_payload_in_any_order():
    assert signature.of({"a": 1, "b": [2]}) == signature.of({"b": [2], "a": 1})
    assert signature.of({"a": 1}) != signature.of({"a": 1.5})


SOURCE = '''
"""A module."""
from dataclasses import dataclass

@dataclass
class Point:
    """Two numbers."""
    x: int = 3

    def moved(self, by: int) -> int:
        """Further."""
        return self.x + by
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another text."""'),
        ('"""A module."""\n', ""),
        ('        """Further."""\n', ""),
        ("class Point:", "class Point:  # a comment\n"),
        ("by: int) -> int", "by)"),
        ("x: int = 3", "x: float = 3"),
        ("return self.x + by", "return (self.x\n                + by)"),
        ("    x: int", "\n\n    x: int"),
    ],
)
def test_comments_docstrings_annotations_and_formatting_mean_nothing(old, new):
    assert old in SOURCE
    assert signature.meaning(ast.parse(SOURCE.replace(old, new))) == signature.meaning(ast.parse(SOURCE))


@pytest.mark.parametrize(
    ("old", "new"),
    [("= 3", "= 4"), ("x + by", "x - by"), ("x: int = 3", "x = 3"), ("@dataclass\n", ""), ("by: int", "by: int = 1")],
)
def test_what_the_program_does_means_something(old, new):
    """`x = 3` is no field of a data class, `x: int = 3` is one."""
    assert old in SOURCE
    assert signature.meaning(ast.parse(SOURCE.replace(old, new))) != signature.meaning(ast.parse(SOURCE))


def test_sources_of_a_fusion_are_its_file_its_bases_and_what_they_import_but_no_other_fusion(logs):
    found = signature.code(("exomni.fusion.tqgf",)).sources
    assert {"exomni.fusion.tqgf", "exomni.fusion.base", "exomni.config.registry"} <= found.keys()
    assert not {"exomni.fusion.concat", "exomni.fusion.hidden_only", "exomni.fusion.tokens_only"} & found.keys()


def test_sources_of_a_stage_hold_its_model_its_losses_and_what_it_runs_in_but_no_fusion_that_is_not_chosen(logs):
    found = stages_of(config.load("nano", ["model.face_fusion=concat", "model.unit_fusion=concat"]))[2].code_identity.sources
    assert {"exomni.stages.speech_face", "exomni.stages.base", "exomni.model.ex_omni", "exomni.losses.units"} <= found.keys()
    assert {"exomni.stages.assemble", "exomni.stages.fit", "exomni.stages.frozen", "exomni.data.sampler"} <= found.keys()
    assert {"exomni.data.quarantine", "exomni.fusion.concat"} <= found.keys()
    assert not {"exomni.fusion.tqgf", "exomni.fusion.hidden_only", "exomni.fusion.tokens_only"} & found.keys()
    assert not [name for name in found if name.startswith(("exomni.evaluation", "exomni.ablation", "exomni.metrics"))]


@pytest.mark.parametrize("root", ["exomni.evaluation.scoring", "exomni.data.corpora.builtin", "exomni.ablation.report"])
def test_what_a_counted_source_imports_is_counted_too(logs, root):
    """Also where `import exomni` stands on the way."""
    found = signature.code((root,)).sources
    assert "exomni" in found or root != "exomni.data.corpora.builtin"
    for module in found:
        imported = signature._read_module(source_of(module))[1]
        names = {signature._named(one) for one in imported if one.partition(":")[0].partition(".")[0] == "exomni"}
        assert {name for name in names if source_of(name)} <= found.keys(), module


def test_counting_sources_imports_none_of_them(tmp_path):
    program = (
        "import sys; from exomni.artifacts import signature\n"
        "signature.code(('exomni.evaluation.scoring', 'exomni.stages.run'))\n"
        "assert not {'torch', 'exomni.metrics', 'exomni.stages'} & set(sys.modules)"
    )
    env = {**os.environ, "EXOMNI_LOGS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr


def test_versions_of_all_that_counted_sources_import_count(logs):
    artifacts = Artifacts(config.load("nano"))
    stage = stages_of(artifacts.config, artifacts)[-1].code_identity.versions
    assert {"pytorch-lightning", "peft", "tokenizers", "safetensors", "numpy", "torch", "transformers"} <= stage.keys()
    assert stage["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert "espeakng-loader" in artifacts.made("corpus").code_identity.versions
    assert "espeakng-loader" not in stage and "mlflow" not in stage


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [("peft", STAGES | {"scores"}), ("espeakng-loader", {*PREPARED, *STAGES, *SCORED})],
)
def test_another_version_makes_what_depends_on_it_anew(logs, fresh, monkeypatch, distribution, expected):
    before = identities(config.load("nano"))
    version = signature.metadata.version
    monkeypatch.setattr(signature.metadata, "version", lambda name: "0.0.1" if name == distribution else version(name))
    fresh()
    found = changed(before, identities(config.load("nano")))
    assert expected <= found and (distribution != "peft" or not {"corpus", "codec", "units", "statistics"} & found)


PROGRAM = """
import json
from exomni import config
from exomni.artifacts.declare import Artifacts
from exomni.evaluation.artifacts import controls, scores
from exomni.stages.runs import stages_of
cells = {}
for fusion in ("tqgf", "concat", "tokens_only", "hidden_only"):
    artifacts = Artifacts(config.load("nano", [f"model.face_fusion={fusion}"]))
    chain = stages_of(artifacts.config, artifacts)
    cells[fusion] = {one.name: one.signature for one in (*chain, scores(artifacts), controls(artifacts))}
print(json.dumps(cells))
"""


def test_editing_a_fusion_changes_exactly_its_cells_and_words_change_nothing(tmp_path):
    for name in ("exomni", "experiments"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def cells() -> dict:
        env = {"PYTHONPATH": str(tmp_path), "EXOMNI_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def edit(path: str, old: str, new: str) -> None:
        text = (tmp_path / path).read_text()
        assert old in text
        (tmp_path / path).write_text(text.replace(old, new, 1))

    before = cells()
    shared = ("speech_to_text", "speech_face.units", "controls")
    assert all(len({chain[one] for chain in before.values()}) == 1 for one in shared)
    assert all(len({chain[one] for chain in before.values()}) == 4 for one in ("speech_face.joint", "dialogue", "scores"))

    edit("exomni/fusion/concat.py", "def forward(", "# another thought\n    def forward(")
    edit("exomni/stages/base.py", '"""The losses of a batch, by name."""', '"""Other words."""')
    edit("exomni/stages/fit.py", "folder.mkdir(parents=True,", "folder.mkdir(\n        parents=True,")
    edit("exomni/metrics/face.py", "from __future__ import annotations\n", "from __future__ import annotations\n\n# words\n")
    assert cells() == before

    edit("exomni/fusion/concat.py", "return ", "return 1.0 * ")
    after = cells()
    assert {fusion for fusion in before if before[fusion] != after[fusion]} == {"concat"}
    assert all(before["concat"][one] == after["concat"][one] for one in shared)
    assert all(before["concat"][one] != after["concat"][one] for one in ("speech_face.joint", "dialogue", "scores"))


DIVIDED = ("speech_face.units", "speech_face.joint", "dialogue")


@pytest.mark.parametrize(
    "values",
    [
        {f"stages.{stage}.{key}": value}
        for stage in ("speech_to_text", "speech_face.joint")
        for key, value in (
            ("batch_size", 1),
            ("log_every", 3),
            ("checkpoint_every", 7),
            ("cache_frozen", False),
            ("validate_every", 5),
        )
    ]
    + [
        {"hardware.workers": 2},
        {"hardware.devices": 2} | {f"stages.{stage}.batch_size": 1 for stage in ("speech_to_text", *DIVIDED)},
        {"hardware.accelerator": "gpu"},
        {"hardware.activation_checkpointing": True},
        {"evaluation.batch_size": 3},
    ],
    ids=lambda values: next(iter(values)),
)
def test_how_something_is_computed_changes_no_identity(logs, values):
    base = config.load("nano")
    (path, value), *_ = values.items()
    assert base[path] != value
    assert identities(base.with_values(values)) == identities(base)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"stages.dialogue.steps": 7}, {"dialogue", "scores"}),
        ({"stages.dialogue.effective_batch": 32}, {"dialogue", "scores"}),
        ({"stages.dialogue.validation_samples": 5}, {"dialogue", "scores"}),
        ({"seed": 1}, STAGES | {"scores"}),
        ({"generation.seed": 5}, {"scores"}),
        ({"evaluation.teacher_forced": 3}, SCORED),
        ({"model.face_fusion": "concat"}, {"speech_face.joint", "dialogue", "scores"}),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_what_changes_numbers_changes_what_depends_on_it(logs, values, expected):
    base = config.load("nano")
    assert changed(identities(base), identities(base.with_values(values))) == expected


def test_where_dropout_draws_a_mask_for_each_micro_batch_their_size_counts(logs):
    still = config.load("nano")
    base = still.with_values({"model.blendshape_decoder.dropout": 0.1})
    divided = base.with_values({f"stages.{stage}.batch_size": 1 for stage in ("speech_to_text", *DIVIDED)})
    assert changed(identities(base), identities(divided)) == {"speech_face.joint", "dialogue", "scores"}
    ranks = {"hardware.devices": 2} | {f"stages.{stage}.batch_size": 1 for stage in ("speech_to_text", *DIVIDED)}
    assert identities(base.with_values(ranks)) == identities(divided), "the number of ranks changes no micro-batch"


def test_what_only_answering_needs_counts_for_no_stage_and_nothing_before_one(logs):
    settings = config.load("nano")
    artifacts = Artifacts(settings)
    made = [artifacts[wish] for wish in (*PREPARED, "backbone/unit_generator")] + stages_of(settings, artifacts)
    aids = [aid for stage in stages_of(settings, artifacts) for aid in stage.aids.values()]
    for one in (*made, *aids):
        found = [name for name in one.code_identity.sources if name.startswith("exomni.model.generation")]
        assert not found, f"{one.name}: {found}"
    answers = scores(artifacts).inputs["answers text_to_face"]
    assert isinstance(answers, Artifact) and "exomni.model.generation.sampling" in answers.code_identity.sources


@pytest.fixture
def corpus(logs, tmp_path):
    """A folder of the user's with one row, and the experiment on it."""
    folder = tmp_path / "mine"
    (folder / "face").mkdir(parents=True)
    (folder / "audio.wav").write_bytes(b"sound")
    np.save(folder / "face" / "0.npy", np.zeros((3, 52), np.float32))
    (folder / "alignment.jsonl").write_text("{}\n")
    turns = [{"role": "assistant", "text": "Hello.", "audio": {"path": "audio.wav"}}]
    row = {"id": "0", "task": "ttsf", "turns": turns, "face": {"path": "face/0.npy"}}
    (folder / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    return folder, lambda: config.load("nano").with_values({"corpus": {"name": "manifest", "path": str(folder)}})


@pytest.mark.parametrize("name", ["audio.wav", "face/0.npy", "alignment.jsonl", "manifest.jsonl"])
def test_a_file_of_a_given_corpus_that_is_replaced_in_place_counts(corpus, name):
    from exomni.data.manifest import ALIGNMENT

    folder, settings = corpus
    path = folder / (ALIGNMENT if name == "alignment.jsonl" else name)
    path.touch()
    before = identities(settings())
    content = path.read_bytes()
    path.write_bytes(content.swapcase() if name == "audio.wav" else content + b"\n")
    assert changed(before, identities(settings())) == before.keys()
    path.write_bytes(content)
    assert identities(settings()) == before, "the same content at another time is the same"


def test_a_file_that_no_row_names_does_not_count(corpus):
    folder, settings = corpus
    before = identities(settings())
    (folder / "notes.txt").write_text("mine")
    assert identities(settings()) == before


def test_a_job_whose_given_corpus_has_changed_since_the_plan_is_refused(corpus, tmp_path):
    folder, settings = corpus
    made = plan({"codec": [Artifacts(settings()).made("codec")]})
    path = order.write(made.jobs[-1], made.makes(made.jobs[-1]), tmp_path / "job")
    assert order.read(path)[0] == "codec"
    (folder / "audio.wav").write_bytes(b"noise")
    with pytest.raises(StaleOrderError, match=f"corpus in {folder} has changed since the plan"):
        order.read(path)


def test_a_judge_that_is_installed_later_counts_for_scores_only(logs, monkeypatch, tmp_path):
    monkeypatch.setenv("EXOMNI_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("EXOMNI_ASSETS", str(tmp_path / "assets"))
    heard = config.load("nano", ["transcriber=whisper"])
    before = identities(heard)
    folder = tmp_path / "whisper-tiny.en"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(b"one")
    installed = identities(heard)
    (folder / "model.safetensors").write_bytes(b"two")
    replaced = identities(heard)
    shutil.rmtree(folder)
    removed = identities(heard)
    assert changed(before, installed) == changed(installed, replaced) == changed(before, replaced) == SCORED
    assert removed == before


def test_a_head_whose_file_is_replaced_counts_for_scores_only(logs, tmp_path):
    path = tmp_path / "head.npz"
    path.write_bytes(b"one")
    settings = config.load("nano").with_values({"head": {"name": "npz", "path": str(path)}})
    before = identities(settings)
    path.write_bytes(b"two")
    assert changed(before, identities(settings)) == SCORED


def test_the_head_that_is_shipped_counts_by_its_content(logs, monkeypatch):
    settings = config.load("nano").with_values({"head": "procedural"})
    before = identities(settings)
    monkeypatch.setattr("exomni.evaluation.judge_identity.file_hash", lambda path: path.name)
    assert changed(before, identities(settings)) == SCORED


def test_a_model_on_the_hub_counts_by_its_commit_and_is_read_at_it(logs, monkeypatch):
    def artifacts(commit):
        monkeypatch.setattr("exomni.model.given.commit_of", lambda name, revision: commit)
        return Artifacts(config.load("nano", ["model.llm.weights=some/model"]))

    first, second, unknown = artifacts("a" * 40), artifacts("b" * 40), artifacts(None)
    one = artifacts("a" * 40)
    assert one["backbone/llm"].source == f"some/model@{'a' * 40}" and one["backbone/llm"].complete
    monkeypatch.setattr("exomni.model.given.commit_of", lambda name, revision: "a" * 40)
    before = identities(first.config)
    monkeypatch.setattr("exomni.model.given.commit_of", lambda name, revision: "b" * 40)
    found = changed(before, identities(second.config))
    assert {"backbone/llm", *STAGES, "scores"} == found
    monkeypatch.setattr("exomni.model.given.commit_of", lambda name, revision: None)
    lacking = unknown["backbone/llm"]
    assert not lacking.complete and "model.llm.weights: some/model is no folder here" in lacking.absent


def test_the_commit_of_a_revision_is_what_the_cache_knows_when_the_hub_cannot_be_asked(tmp_path, monkeypatch):
    from huggingface_hub import constants

    from exomni.model.given import commit_of

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert commit_of("some/model", "c" * 40) == "c" * 40
    assert commit_of("some/model", "main") is None
    refs = tmp_path / "models--some--model" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("d" * 40)
    assert commit_of("some/model", "main") == "d" * 40


def test_given_weights_count_by_every_file_that_loading_reads(logs, tmp_path):
    folder = tmp_path / "model"

    def llm() -> str:
        return Artifacts(config.load("nano", [f"model.llm.weights={folder}"]))["backbone/llm"].signature

    for name in ("config.json", "model.safetensors", "chat_template.jinja", "inner/tokenizer.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("one")
    seen = [llm()]
    for name in ("model.safetensors", "chat_template.jinja", "inner/tokenizer.json"):
        (folder / name).write_text("another")
        seen.append(llm())
    assert len(set(seen)) == 4
    (folder / "README.md").write_text("words")
    assert llm() == seen[-1]


def package(folder: Path, name: str, *, plugin: bool) -> Path:
    """A package of two files that imports numpy; as a plugin it has the entry point that pip would leave."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(f"import numpy\nfrom {name}.part import Thing\n")
    (folder / name / "part.py").write_text("class Thing: pass\n")
    if plugin:
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[exomni.plugins]\n{name} = {name}\n")
    return folder / name


@pytest.mark.parametrize("plugin", [True, False])
def test_a_plugin_and_a_module_of_no_distribution_count_with_all_their_files(logs, fresh, tmp_path, monkeypatch, plugin):
    name = f"stranger_{plugin}".lower()
    place = package(tmp_path, name, plugin=plugin)
    monkeypatch.syspath_prepend(str(tmp_path))

    def code() -> signature.Code:
        fresh()
        return signature.code((f"{name}.part:Thing",))

    before = code()
    assert set(before.sources) == {name} and {"numpy", "python"} <= before.versions.keys()
    (place / "part.py").write_text('class Thing:  # a comment\n    """Words."""\n    pass\n')
    assert code() == before
    (place / "helper.py").write_text("x = 1\n")
    assert code().sources != before.sources, "a helper that nothing imports yet may be loaded by its name"


def test_a_stage_is_given_nothing_that_it_did_not_declare(logs):
    from exomni.stages.recipe import settings_of

    units = stages_of(config.load("nano"))[1]
    settings = settings_of(units.recipe, {})
    assert settings("model.unit_fusion")["name"] == "tqgf" and settings("seed") == 0
    with pytest.raises(AssertionError, match="model.face_fusion is read without being declared"):
        settings("model.face_fusion")
