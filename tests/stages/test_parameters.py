"""Sizes without weights: the paper's model at its published numbers, and what `exomni show --parameters` prints."""

import json
import os
import re
from pathlib import Path

import pytest
import torch

from exomni import cli, config
from exomni.model.published import PUBLISHED, architecture
from exomni.model.released import names
from exomni.stages import parameters
from exomni.stages.runs import stages_of


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    model, notes = parameters.skeleton(config.load("ex_omni"), tmp_path_factory.mktemp("paper"))
    assert notes == []
    return model


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_paper_has_its_published_sizes_and_no_byte_of_memory(paper):
    assert {value.device.type for value in paper.parameters()} == {"meta"}
    assert count(paper.llm) == 8_190_735_360
    assert count(paper.speech_projector) == 21_501_952
    assert count(paper.unit_generator) == 721_926_147
    decoder = 1_543_490_560 - count(paper.speech_encoder)
    with torch.device("meta"):
        from transformers import WhisperModel

        whisper = WhisperModel(architecture("openai/whisper-large-v3"))
    assert count(whisper) == 1_543_490_560
    assert count(whisper.decoder) == decoder, "the encoder is kept whole, the decoder is not kept"


def ours(name: str) -> str | None:
    """Our whole name of a released tensor; None for one that we have no use for."""
    part, inner = names.part_of(name)
    return None if names.optional(inner, part) else f"{part}.{names.our_name(inner, part)}"


def value_of(size: int | str, known: dict[str, int]) -> int:
    """A released size: a number, or an expression such as `4D`, `D/2`, `1280*k` in sizes that the release does not tell."""
    if isinstance(size, int):
        return size
    factor, symbol, divisor = re.fullmatch(r"(\d*)\*?([A-Za-z]+)(?:/(\d+))?", size).groups()
    return int(factor or 1) * known[symbol] // int(divisor or 1)


def test_every_released_tensor_has_its_place_and_shape(paper, shared):
    released = json.loads((shared / "parity" / "param_list_real.json").read_text())["params"]
    decoder = paper.blendshape_decoder
    known = {
        "k": paper.speech_projector.join,
        "D": decoder.hidden_projection.out_features,
        "Vs": decoder.unit_embedding.num_embeddings,
        "E": decoder.unit_embedding.embedding_dim,
        "I": decoder.fusion.layers[0].attention.to_q.out_features,
        "O": 52,
    }
    state = {name: tuple(value.shape) for name, value in paper.state_dict().items()}
    state |= {re.sub(r"(layers|encoder)\.\d+\.", r"\1.{i}.", name, count=1): shape for name, shape in state.items()}
    compared = 0
    for name, shape in released.items():
        place = ours(name)
        if place is not None:
            assert state.get(place) == tuple(value_of(size, known) for size in shape), (name, place)
            compared += 1
    assert compared > 100


@pytest.mark.parametrize(("name", "total"), [("Qwen/Qwen3-0.6B", 596_049_920), ("openai/whisper-tiny.en", 37_760_256)])
def test_published_architectures_have_their_published_counts(name, total):
    """Qwen3-0.6B tied; whisper-tiny.en with its decoder: OpenAI's 37 184 256 and 1500 fixed positions of 384."""
    from transformers import AutoModel, AutoModelForCausalLM

    with torch.device("meta"):
        auto = AutoModel if PUBLISHED[name].model_type == "whisper" else AutoModelForCausalLM
        assert count(auto.from_config(architecture(name))) == total


@pytest.mark.parametrize("name", ["openai/whisper-tiny.en", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_published_numbers_are_those_of_the_weights(name):
    root = Path(os.environ.get("EXOMNI_PRETRAINED", "~/.cache/exomni/pretrained")).expanduser()
    short = name.rpartition("/")[2].lower().removesuffix("-instruct")
    if not (root / short / "config.json").is_file():
        pytest.skip(f"no {short} in {root} (set EXOMNI_PRETRAINED)")
    weights = architecture(str(root / short)).to_dict()
    for key, value in PUBLISHED[name].numbers.items():
        found = weights[key]
        assert found == pytest.approx(value) if isinstance(value, float) else found == value, key


def test_training_does_not_depend_on_the_published_numbers(logs):
    """Naming one more model there must not make every finished stage a stranger."""
    for stage in stages_of(config.load("nano")):
        found = stage.code_identity.sources
        assert "exomni.model.pretrained" in found
        assert not {"exomni.model.published", "exomni.stages.parameters"} & found.keys()


def test_qwen3s_positions_are_the_published_ones():
    found = architecture("Qwen/Qwen3-8B")
    assert (found.rope_parameters["rope_theta"], found.rms_norm_eps, found.tie_word_embeddings) == (1e6, 1e-6, False)
    assert found.vocab_size == 151936, "the speech token has room in the rows behind the tokenizer's"
    assert architecture("HuggingFaceTB/SmolLM2-135M-Instruct").vocab_size == 49153, "here it needs a row more"


def test_stages_and_bytes_of_the_paper():
    sizes = parameters.measure(config.load("ex_omni"))
    by_name = {size.name: size for size in sizes.parts if not size.depth}
    assert by_name["speech_encoder"].trainable == 0
    assert by_name["llm"].frozen == 0 and by_name["llm"].bytes == 4 * 8_190_735_360
    assert [stage.name for stage in sizes.stages] == ["speech_to_text", "speech_face.joint", "dialogue"]
    assert sizes.stages[0].trainable == 21_501_952
    assert sizes.stages[0].bytes == sizes.total.bytes + 3 * 4 * 21_501_952
    assert sizes.total.parameters == sum(size.parameters for size in by_name.values())
    assert sizes.devices == 8


@pytest.mark.parametrize("name", ["nano", "mini", "ex_omni"])
def test_the_table_fits_a_terminal_of_100_columns(name, capsys, logs):
    assert cli.main(["show", name, "--parameters"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    first = {line.split()[0] for line in lines if line.strip()}
    assert {"speech_encoder", "llm", "unit_generator", "total", "dialogue"} <= first
    assert not (logs / "artifacts").exists(), "nothing was made"


def test_nano_is_counted_by_its_recipe_until_it_is_made(logs):
    sizes = parameters.measure(config.load("nano"))
    assert sizes.notes == (
        "speech_encoder is not made yet: counted by its recipe (pretrain.speech_encoder)",
        "llm is not made yet: counted by its recipe (pretrain.llm)",
    )
    llm = next(size for size in sizes.parts if size.name == "llm")
    layer = 128 * 128 * 2 + 128 * 64 * 2 + 3 * 128 * 256 + 2 * 128 + 2 * 32  # q, o; k, v; MLP; norms; norms of q and k
    biases = 128 + 2 * 64 + 128
    assert llm.parameters == 1200 * 128 + 3 * (layer + biases) + 128


@pytest.mark.parametrize(("size", "text"), [(10, "10 B"), (2048, "2 KiB"), (3 << 20, "3 MiB"), (5 << 30, "5.0 GiB")])
def test_bytes_are_readable(size, text):
    assert parameters.readable(size) == text
