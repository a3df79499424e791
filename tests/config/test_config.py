from pathlib import Path

import pytest

from exomni import config
from exomni.config import ConfigError, schema


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A user's home with an experiment of its own."""
    (tmp_path / "experiments").mkdir()
    monkeypatch.setenv("EXOMNI_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, name: str, text: str) -> None:
    path = home / "experiments" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_shipped_experiment_serves_where_the_home_has_none(home):
    assert config.load("nano")["model.face_fusion.name"] == "tqgf"


def test_extends_merges_key_by_key_and_the_command_line_goes_over_all(home):
    write(home, "mine", "extends: nano\nseed: 4\nmodel: {face_gradient_to_generator: false}\n")
    loaded = config.load("mine", ["seed=5"])
    assert loaded["seed"] == 5
    assert loaded["model.face_gradient_to_generator"] is False
    assert loaded["model.unit_fusion.heads"] == 4


def test_the_same_component_keeps_inherited_options_and_another_drops_them():
    assert config.load("nano", ["model.face_fusion=tqgf"])["model.face_fusion.heads"] == 4
    assert config.load("nano", ["model.face_fusion.depth=3"])["model.face_fusion"]["dim_head"] == 32
    assert "heads" not in config.load("nano", ["model.face_fusion=concat"])["model.face_fusion"]


def test_a_name_and_its_options_may_come_apart_and_in_any_order():
    one = config.load("nano", ["model.face_fusion=concat", "model.face_fusion.depth=3"])
    other = config.load("nano", ["model.face_fusion.depth=3", "model.face_fusion=concat"])
    assert one["model.face_fusion"] == other["model.face_fusion"]
    assert one["model.face_fusion.depth"] == 3
    assert config.load("nano").with_values({"model.face_fusion": {"name": "concat", "depth": 3}}).data == one.data


def test_null_removes_what_was_inherited(home):
    write(home, "mine", "extends: nano\nmodel: {face_fusion: {heads: null}}\n")
    assert config.load("mine")["model.face_fusion.heads"] == 8  # the constructor's default


def test_all_problems_are_reported_at_once_with_path_value_and_nearest_spelling():
    with pytest.raises(ConfigError) as caught:
        config.load(
            "nano", ["model.face_fusion=hiden_only", "sed=3", "threads=two", "model.unit_fusion.dpeth=2", "precision=16"]
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "model.face_fusion.name: 'hiden_only' is unknown; did you mean 'hidden_only'?" in text
    assert "sed: unknown key; did you mean 'seed'?" in text
    assert "threads: 'two' (str) is given; allowed: int" in text
    assert "model.unit_fusion.dpeth: unknown key; did you mean 'depth'?" in text
    assert "precision: 16 is given; allowed: 32-true | bf16-mixed | bf16-true" in text


def test_what_the_builder_decides_may_not_stand_in_yaml():
    with pytest.raises(ConfigError, match=r"model\.face_fusion\.dim: is decided by another part"):
        config.load("nano", ["model.face_fusion.dim=64"])


def test_a_problem_names_the_file_it_was_written_in(home):
    write(home, "mine", "extends: nano\nseed: many\n")
    with pytest.raises(ConfigError, match=r"seed: 'many' \(str\).*from experiments/mine.yaml"):
        config.load("mine")


def test_unreadable_yaml_a_cycle_and_a_missing_file_are_clear(home):
    write(home, "broken", "a: [1\n")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        config.load("broken")
    write(home, "a", "extends: b\n")
    write(home, "b", "extends: a\n")
    with pytest.raises(ConfigError, match="extends itself"):
        config.load("a")
    with pytest.raises(FileNotFoundError, match="did you mean 'nano'"):
        config.load("nanno")


def test_an_override_needs_an_equals_sign():
    with pytest.raises(ConfigError, match="key.path=value"):
        config.load("nano", ["seed"])


def test_the_resolved_yaml_reads_back_to_the_same_experiment(tmp_path):
    loaded = config.load("nano", ["model.face_fusion=concat"])
    (tmp_path / "copy.yaml").write_text(loaded.yaml())
    assert config.load(tmp_path / "copy.yaml").data == loaded.data


def test_difference_and_origin():
    base, other = config.load("nano"), config.load("nano", ["model.face_fusion=concat", "seed=2"])
    difference = base.difference(other)
    assert difference["seed"] == (0, 2)
    assert difference["model.face_fusion.name"] == ("tqgf", "concat")
    assert other.origin("seed") == "command line"
    assert base.origin("model.face_fusion.feed_forward") == "default of tqgf"
    assert base.origin("threads").endswith("nano.yaml")


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, float, 3.0),
        (None, int | None, None),
        ([1, 2], list[int], [1, 2]),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        (True, bool, True),
    ],
)
def test_values_are_taken_as_their_annotation_says(value, annotation, expected):
    converted = schema.convert(value, annotation)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"), [(True, int), ("3", int), (1.5, int), ([1, "b"], list[int]), (None, str), (1, bool)]
)
def test_values_of_another_type_are_refused(value, annotation):
    with pytest.raises(ValueError, match="is given; allowed"):
        schema.convert(value, annotation)


EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SHIPPED = sorted(  # suites are no runs: tests/evaluation
    path for path in EXPERIMENTS.rglob("*.yaml") if path.stem not in ("base", "smoke") and path.parent.name != "evaluation"
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid_and_also_with_smoke_over_it(path):
    assert path.read_text().startswith("# exomni "), "line 1 of an experiment is its command"
    config.load(path)
    config.load(path, over=["smoke"])
