"""Ex-Omni around backbones of any family: tiny random Qwen3 and Llama in the places of the LLM and the unit generator."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from exomni.artifacts.declare import Artifacts
from exomni.artifacts.materialise import make_here
from exomni.data.manifest import load_sample
from exomni.data.opening import UNITS
from exomni.data.quarantine import usable_rows
from exomni.model.build import PARTS, build_model
from exomni.model.generation.answering import generate
from exomni.model.generation.settings import GenerationSettings
from exomni.model.llm import CausalLanguageModel
from exomni.model.unit_backbone import pretrained_backbone
from exomni.pretrain import tokenizer as nano_tokenizer
from exomni.stages import parameters
from exomni.stages.assemble import collator_for
from exomni.stages.fit import WEIGHTS
from exomni.stages.parallel import checkpoint_activations
from exomni.stages.runs import stages_of
from exomni.stages.weights import set_trainable
from exomni.types import IGNORE

TEXTS = ["The small dog sleeps.", "The dog ran home.", "Is the dog at home?", "Repeat: the small dog sleeps!"] * 3
OTHER_TEXTS = ["Ein Hund schläft im Haus.", "Wo ist der Hund?"] * 4
FAMILIES = ["qwen3", "llama"]
LLM_WIDTH, GENERATOR_WIDTH, MELS = 32, 48, 128


def save_decoder(folder: Path, family: str, *, width: int, texts: list[str] = TEXTS, tied: bool = True) -> Path:
    """A random causal decoder of `family` with a tokenizer of its own, as a Hugging Face folder."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = nano_tokenizer.train(texts, ["AA", "B"], folder, vocab=320)
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def save_whisper(folder: Path) -> Path:
    """A random Whisper encoder of another size than nano's: 128 mel bins as large-v3's, a window of 8 s."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(
        d_model=24,
        num_mel_bins=MELS,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        max_source_positions=400,
        vocab_size=8,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(6)
        WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=MELS, chunk_length=8).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("backbones")
    found = {"whisper": save_whisper(root / "whisper")}
    for family in FAMILIES:
        found[family] = save_decoder(root / family, family, width=LLM_WIDTH)
        found[f"{family} generator"] = save_decoder(root / f"{family}-small", family, width=GENERATOR_WIDTH, tied=False)
    found["other chat"] = save_decoder(root / "other", "llama", width=GENERATOR_WIDTH, texts=OTHER_TEXTS)
    return found


@pytest.fixture
def experiment(smoke, folders):
    """`experiment("llama", "qwen3 generator")`: the smoke experiment around these folders."""

    def settings(llm: str, generator: str, *overrides: str):
        return smoke(
            "nano",
            f"model.llm.weights={folders[llm]}",
            f"model.speech_encoder.weights={folders['whisper']}",
            "model.unit_generator=causal",
            f"model.unit_generator.weights={folders[generator]}",
            *overrides,
        )

    return settings


def model_of(settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(settings.__getitem__, parts=PARTS, folders={}, unit_vocab=64).eval()


PAIRS = [("qwen3", "llama generator"), ("llama", "qwen3 generator")]


@pytest.mark.parametrize(("llm", "generator"), PAIRS)
def test_forward_and_generation_through_all_parts(experiment, llm, generator):
    settings = experiment(llm, generator)
    model = model_of(settings)
    assert type(model.llm.model).__name__.lower() == f"{llm}forcausallm"
    assert type(model.unit_generator.backbone).__name__.lower() == f"{generator.split()[0]}model"
    assert (model.llm.hidden_dim, model.unit_generator.width, model.speech_encoder.dim) == (LLM_WIDTH, GENERATOR_WIDTH, 24)
    artifacts = Artifacts(settings)
    corpus, spoken_units = make_here([artifacts.made("corpus"), artifacts.made("units")])
    units = load_file(spoken_units / UNITS)
    rows = [row for row in usable_rows(corpus) if row.task == "s2sf"][:3]
    samples = [load_sample(row, corpus, units=units[row.id].numpy()) for row in rows]
    collator = collator_for(model)
    batch = collator(samples)
    assert batch.speech.mel.shape[1] == MELS
    spoken = model(batch, write=True)
    answers = batch.labels != IGNORE
    assert spoken.text_logits.shape[-1] == model.llm.vocab
    assert spoken.units.logits.shape[:2] == (3, batch.units.shape[1] + 1)
    assert spoken.face.lengths.tolist() == [12 * len(sample.units) // 5 for sample in samples]
    assert int(spoken.answer.mask.sum()) == int(answers.sum())
    total = spoken.units.logits.square().mean() + spoken.face.values.square().mean() + spoken.text_logits.square().mean()
    assert total.isfinite()

    together = generate(model, collator.prompts(samples), GenerationSettings(max_new_tokens=6, unit_top_k=1))
    assert len(together.texts) == 3
    for units, face in zip(together.units, together.faces):
        assert face.shape == (12 * len(units) // 5, 52) and face.isfinite().all()
    alone = generate(model, collator.prompts(samples[:1]), GenerationSettings(max_new_tokens=6, unit_top_k=1))
    assert torch.equal(alone.tokens[0], together.tokens[0]), "a sample's answer does not depend on its batch mates"


@pytest.mark.parametrize(("llm", "generator"), PAIRS)
def test_a_stage_trains_and_its_weights_stand_on_their_contents_not_their_place(
    experiment, train, folders, tmp_path, llm, generator
):
    settings = experiment(llm, generator, "stages.speech_to_text.steps=0")
    (step,) = train(settings, until="speech_face.units")
    trained = load_file(step.folder / WEIGHTS)
    started = load_file(folders[generator] / "model.safetensors")
    name = "layers.0.self_attn.q_proj.weight"
    moved = (trained[f"unit_generator.backbone.{name}"] - started[f"model.{name}"]).abs()
    assert 0 < moved.max() < 0.1, "training started from the generator's own weights"
    (tmp_path / "moved").symlink_to(folders[generator])
    elsewhere = experiment(llm, generator, "stages.speech_to_text.steps=0").with_values(
        {"model.unit_generator.weights": str(tmp_path / "moved")}
    )
    assert stages_of(elsewhere)[0].signature == step.signature
    other = settings.with_values({"model.unit_generator.weights": str(folders[llm])})
    assert stages_of(other)[0].signature != step.signature


@pytest.mark.parametrize("trainable", ["full", "lora"])
def test_measuring_without_weights_counts_what_is_built(experiment, trainable):
    settings = experiment("llama", "qwen3 generator", f"model.llm.trainable={trainable}", "model.llm.lora_rank=2")
    model = model_of(settings)
    sizes = parameters.measure(settings)
    by_name = {size.name: size for size in sizes.parts if not size.depth}
    for name in PARTS:
        assert by_name[name].parameters == sum(value.numel() for value in getattr(model, name).parameters()), name
    set_trainable(model, ("llm",))
    adapted = sum(value.numel() for value in model.llm.parameters() if value.requires_grad)
    assert by_name["llm"].trainable == adapted
    if trainable == "lora":  # A and B of rank 2 on q, k, v, o (32 or 16 wide inside) and the three maps of the MLP, 2 layers
        maps = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 64), (32, 64), (64, 32)]
        assert adapted == 2 * sum(2 * (inputs + outputs) for inputs, outputs in maps)
    assert by_name["speech_encoder"].trainable == 0


def test_checkpointed_activations_give_the_same_gradients_from_layers_that_run_twice(experiment):
    model = model_of(experiment("qwen3", "llama generator"))
    model.llm.set_trainable(True)
    model.llm.train()
    layer = model.llm.model.base_model.layers[0]
    runs = []
    layer.mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    embeddings = torch.randn(2, 7, LLM_WIDTH, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(7) < torch.tensor([[7], [4]])

    def gradient() -> torch.Tensor:
        model.zero_grad()
        model.llm(embeddings, mask)[mask].square().sum().backward()
        return layer.self_attn.q_proj.weight.grad.clone()

    plain = gradient()
    assert len(runs) == 1
    checkpoint_activations(model, ("speech_projector",))
    torch.testing.assert_close(gradient(), plain)
    assert len(runs) == 2, "a part that is not trained is left alone"
    checkpoint_activations(model, ("llm", "unit_generator"))
    torch.testing.assert_close(gradient(), plain)
    assert len(runs) == 4


def test_the_generator_keeps_its_embedding_where_the_tokenizers_agree(folders, caplog):
    llm = CausalLanguageModel(weights=str(folders["qwen3"]))
    own = load_file(folders["llama generator"] / "model.safetensors")["model.embed_tokens.weight"]
    with caplog.at_level(logging.WARNING):
        kept = pretrained_backbone(str(folders["llama generator"]), text_vocab=llm.vocab, text_tokenizer=llm.tokenizer)
        assert torch.equal(kept.get_input_embeddings().weight, own)
        longer = pretrained_backbone(str(folders["llama generator"]), text_vocab=llm.vocab + 3, text_tokenizer=llm.tokenizer)
    assert not caplog.records
    rows = longer.get_input_embeddings().weight
    assert torch.equal(rows[:-3], own) and torch.allclose(rows[-1], own.mean(0))
    assert longer.config.vocab_size == llm.vocab + 3


def test_another_tokenizer_gives_a_new_embedding_even_with_as_many_rows(folders, caplog):
    llm = CausalLanguageModel(weights=str(folders["qwen3"]))
    started = load_file(folders["other chat"] / "model.safetensors")["model.embed_tokens.weight"]
    with caplog.at_level(logging.WARNING):
        backbone = pretrained_backbone(str(folders["other chat"]), text_vocab=llm.vocab, text_tokenizer=llm.tokenizer)
    assert "has another tokenizer than the LLM" in caplog.text
    rows = backbone.get_input_embeddings().weight
    assert len(rows) == llm.vocab
    assert not torch.isin(rows[:, 0], started[:, 0]).any()
    assert rows.std().item() == pytest.approx(0.3, rel=0.1), "spread as the family starts embeddings"


def test_a_folder_without_a_tokenizer_says_what_to_do(folders, tmp_path):
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folders["llama"]).save_pretrained(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"has a model but no tokenizer \(tokenizer.json or tokenizer.model is missing\)"
    ):
        CausalLanguageModel(weights=str(tmp_path))


@pytest.mark.parametrize("weights", ["exomni-tests/there-is-no-such-model", "exomni-tests/there-is-no-such-model@v2"])
def test_a_hub_id_that_cannot_be_had_is_one_clear_line(weights):
    with pytest.raises(
        FileNotFoundError, match="there-is-no-such-model: neither a usable folder nor a model that the hub"
    ) as caught:
        CausalLanguageModel(weights=weights)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_pad_token_pads_with_its_end(folders, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(folders["llama"]).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folders["llama"])
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    llm = CausalLanguageModel(weights=str(tmp_path))
    assert llm.pad_id == llm.end_id == llm.tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_template_that_refuses_the_system_prompt_is_told_at_once(folders, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(folders["llama"]).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folders["llama"])
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    tokenizer.chat_template = refusal + nano_tokenizer.CHAT_TEMPLATE
    tokenizer.save_pretrained(tmp_path)
    assert CausalLanguageModel(weights=str(tmp_path)).end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    with pytest.raises(ValueError, match="System role not supported; leave model.llm.system_prompt empty"):
        CausalLanguageModel(weights=str(tmp_path), system_prompt="Be brief.")


def test_an_encoder_of_another_kind_and_a_wrong_feature_extractor_are_refused(folders, tmp_path):
    from transformers import WhisperFeatureExtractor, WhisperModel

    from exomni.model.speech_encoder import WhisperSpeechEncoder

    with pytest.raises(ValueError, match="is a LlamaModel; model.speech_encoder takes Whisper weights of any size"):
        WhisperSpeechEncoder(weights=str(folders["llama"]))
    WhisperModel.from_pretrained(folders["whisper"]).save_pretrained(tmp_path)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="makes 80 mel bins, its weights take 128"):
        WhisperSpeechEncoder(weights=str(tmp_path), max_seconds=8)
    encoder = WhisperSpeechEncoder(weights=str(folders["whisper"]), max_seconds=2)
    rows, counts = encoder(encoder.features([np.zeros(16_000, np.float32)]))
    assert rows.shape == (1, 50, 24) and counts.tolist() == [50]
