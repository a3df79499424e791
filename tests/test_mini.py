"""The experiment with real small backbones: its configuration, a run at smoke size, the real weights where they are."""

import os
from pathlib import Path

import pytest

from exomni import config
from exomni.data import conversation
from exomni.model.build import build_model
from exomni.stages.chain import stages
from exomni.stages.runs import stages_of
from exomni.types import SPEECH_TOKEN

PRETRAINED = Path(os.environ.get("EXOMNI_PRETRAINED", Path.home() / ".cache" / "exomni" / "pretrained"))
STAGE = "stages.speech_to_text"


@pytest.fixture
def real() -> list[str]:
    """Overrides that name the local folders of the real weights; skipped where one is absent."""
    folders = {"llm": PRETRAINED / "smollm2-135m", "speech_encoder": PRETRAINED / "whisper-tiny.en"}
    absent = [folder for folder in folders.values() if not (folder / "config.json").is_file()]
    if absent:
        pytest.skip(f"no pretrained model at {', '.join(map(str, absent))} (set EXOMNI_PRETRAINED)")
    return [f"model.{part}.weights={folder}" for part, folder in folders.items()]


def test_it_names_official_weights_and_trains_every_stage():
    settings = config.load("mini")
    assert settings["model.llm.weights"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert settings["model.speech_encoder.weights"] == "openai/whisper-tiny.en"
    assert [stage.name for stage in stages_of(settings)] == stages()


def test_it_runs_at_smoke_size(smoke, train):
    chain = train(smoke("mini"))
    assert all(stage.complete for stage in chain)
    assert "val/loss_speech_alignment" in chain[0].facts["validation"]["end"]


@pytest.mark.slow
def test_real_backbones_fit_together(real, logs):
    settings = config.load("mini", real)
    model = build_model(settings.__getitem__, parts=("speech_encoder", "speech_projector"), folders={})
    assert (model.speech_encoder.dim, model.llm.hidden_dim) == (384, 576)
    assert model.speech_projector.linear2.out_features == 576
    tokenizer, llm = model.llm.tokenizer, model.llm
    assert tokenizer.convert_ids_to_tokens(llm.end_id) == "<|im_end|>"
    talk = conversation.encode(
        tokenizer,
        conversation.user_turn("asr", "", heard=True),
        "The pig played.",
        system=llm.system_prompt,
        speech_rows=5,
        end_id=llm.end_id,
    )
    assert talk.prompt.count(llm.speech_id) == 5
    assert tokenizer.decode(talk.prompt).endswith(f"Repeat: {5 * SPEECH_TOKEN}<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.decode(talk.response) == "The pig played.<|im_end|>"
    assert len(talk.prompt) < 35, "every token of the prompt costs in every step"


@pytest.mark.slow
def test_two_steps_of_stage_one_with_real_backbones_lower_its_losses(real, smoke, train):
    options = [
        f"{STAGE}.{option}" for option in ("steps=2", "batch_size=2", "effective_batch=2", "warmup_ratio=0", "decay=constant")
    ]
    options += [f"{STAGE}.validation_samples=2", f"{STAGE}.checkpoint_every=10", "losses.speech_alignment.alone=0"]
    options += ["model.speech_projector.join=5", "model.speech_projector.hidden=1024"]
    (stage,) = train(smoke("mini", *real, *options), until="speech_to_text")
    report = stage.facts["validation"]
    for name in ("val/loss_text", "val/loss_speech_alignment"):
        assert report["end"][name] < report["start"][name]
    assert report["start"]["val/wer"] > 0.9, "an untrained projector is no speech to the LLM"
