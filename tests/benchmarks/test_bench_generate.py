"""`python -m benchmarks generate` at a size of seconds: the comparisons it makes are of equals, and its numbers are there."""

import json

import pytest
import torch

from benchmarks import full_size, plain
from benchmarks import generate as bench
from benchmarks.__main__ import main
from exomni import config

TINY = "layers=2 width=32 heads=4 kv_heads=2 head_dim=8 feed_forward=48 units=50 text_vocab=40 text_tokens=3 steps=6 draws=5"
FACE = "faces=[16x2] seconds=[1,2] repeats=1 long_minutes=1"


def test_everything_is_measured_and_written(tmp_path, capsys):
    assert bench.main([*TINY.split(), *FACE.split()], tmp_path / "out.json") == 0
    found = json.loads((tmp_path / "out.json").read_text())
    decoding = found["unit_decoding"]
    assert decoding["greedy_units_equal"] is True and decoding["steps"] == 6
    for name in ("exomni", "exomni_greedy", "plain"):
        assert decoding[name]["ms_per_step"] > 0 and 0 < decoding[name]["share_outside_backbone"] < 1
    assert decoding["sampler"]["speed_up"] > 0
    face = found["blendshapes_16x2"]
    assert set(face) == {"1s", "2s", "1min"} and face["1s"]["exomni_over_plain"] > 0
    assert face["1min"]["ms_per_second"] > 0
    printed = capsys.readouterr().out
    assert "unit_decoding/exomni/share_outside_backbone" in printed
    assert torch.cuda.is_available() or "there is no GPU here" in printed


def test_the_command_passes_sizes_and_file_on(tmp_path):
    words = [*TINY.split(), "faces=[]", "full_size=false"]
    assert main(["generate", *words, "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["unit_decoding"]["steps"] == 6
    with pytest.raises(ValueError, match="codec takes no sizes"):
        main(["codec", "steps=3"])


def test_wrong_sizes_are_named_together():
    with pytest.raises(config.ConfigError, match=r"(?s)stepz: unknown size.*layers: 'many'") as found:
        bench.sizes_of(["stepz=3", "layers=many"])
    assert "allowed: layers, width" in str(found.value)
    assert bench.sizes_of(["faces=[64x2]"]).faces == ["64x2"]


def test_the_plain_sampler_is_the_rule_by_hand():
    scores = torch.tensor([0.5, 0.2, 0.2, 0.1]).log()
    random = torch.Generator().manual_seed(0)
    fresh = torch.tensor([plain.repetition_aware(scores, [], random) for _ in range(600)]).bincount(minlength=4)
    assert fresh[3] == 0  # 0.5 + 0.2 + 0.2 crosses 0.8: three ids
    assert fresh[0] / 600 == pytest.approx(5 / 9, abs=0.08)
    heard = torch.tensor([plain.repetition_aware(scores, [0, 1, 2], random) for _ in range(600)]).bincount(minlength=4)
    assert heard[3] / 600 == pytest.approx(0.1, abs=0.05)  # all three were heard: the whole distribution


def test_the_whole_model_answers_where_a_gpu_would_be(monkeypatch):
    monkeypatch.setattr(full_size, "WARM_UPS", 1)
    monkeypatch.setattr(full_size, "ANSWERS", 1)
    tiny = full_size.Whole(
        llm=(2, 32, 4, 2, 8, 48),
        text_vocab=60,
        generator=(1, 32, 4, 2, 8, 48),
        units=50,
        face=(16, 1),
        prompt_tokens=4,
        new_tokens=5,
        cache="static",
    )
    found = full_size.run(tiny, device="cpu", dtype=torch.float32)
    assert found["ttft_seconds"] < found["first_unit_seconds"] <= found["first_audio_seconds"]
    assert found["first_unit_seconds"] < found["first_face_seconds"] and found["rtf"] > 0
    assert found["text_tokens_per_second"] > 0 and found["units_per_second"] > 0 and found["face_latency_seconds"] > 0
    assert torch.get_default_dtype() == torch.float32
