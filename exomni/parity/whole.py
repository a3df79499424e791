"""Cases of the whole model: speech into the prompt, and from mel features to a face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from exomni.model.ex_omni import ExOmni
from exomni.model.generation.answering import generate, speaking, writing
from exomni.model.generation.settings import GenerationSettings
from exomni.model.generation.text_decoding import generate_text
from exomni.model.generation.unit_decoding import generate_units
from exomni.model.llm import CausalLanguageModel
from exomni.model.released.checkpoint import Checkpoint
from exomni.model.released.model import assemble, model_of
from exomni.model.released.prompt import splice_as_released
from exomni.model.released.sizes import Heads
from exomni.parity.fixture import Check, Fixture
from exomni.parity.units import greedy_facts
from exomni.types import IGNORE, Batch, SpeechFeatures

GREEDY: dict[str, Any] = {"unit_top_k": 1, "unit_repetition_window": 0, "text_temperature": 0.0}


def splice(case: Fixture, check: Check) -> None:
    """Feature rows in the places of their placeholders: embeddings, masks, labels, positions."""
    llm = _bare_llm(case.tensor("weights.embed_tokens"))
    for tag, facts in case["cases"].items():
        given = case.under(f"{tag}.in.")
        count = facts["n_features"]
        blocks = [case.tensor(f"{tag}.in.feature{number}") for number in range(count)]
        with torch.no_grad():
            made = splice_as_released(
                llm,
                given["input_ids"],
                blocks,
                mask=given.get("attention_mask"),
                labels=given.get("labels"),
                side=facts["padding_side"],
                max_length=facts["max_length"],
            )
        check.tensor(f"{tag}.out.inputs_embeds", made.embeddings)
        # Without an input the release gives no output of that kind.
        found = {"attention_mask": made.mask, "labels": made.labels, "position_ids": made.positions}
        for name, value in found.items():
            absent = name not in given
            check.exact(f"{tag} returns no {name}", absent, name in facts["returned_none"])
            if not absent:
                check.tensor(f"{tag}.out.{name}", value.to(case.tensor(f"{tag}.out.{name}").dtype))


def _bare_llm(embedding: Tensor) -> CausalLanguageModel:
    """The smallest language model with this embedding table; splicing reads nothing else of it."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    vocab, width = embedding.shape
    config = Qwen3Config(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=2,
    )
    with torch.random.fork_rng(devices=[]):
        model = Qwen3ForCausalLM(config)
    model.get_input_embeddings().weight.data.copy_(embedding)
    return CausalLanguageModel.around(model, None)


def e2e(case: Fixture, check: Check) -> None:
    """Mel features and prompt ids -> text, states, units, face, as the checkpoint loader builds the model."""
    for tag, facts in case["cases"].items():
        model = _model(case)
        head = model.unit_generator.unit_head.bias.data
        end = model.unit_generator.end_id
        head[end] += facts["unit_eos_bias_add"]
        head[end + 1 :] += facts["special_bias_add"]
        _answer(check, model, tag, facts)


def _model(case: Fixture) -> ExOmni:
    config = case["config"]
    heads = Heads(
        speech_encoder=config["whisper"]["encoder_attention_heads"],
        unit_fusion=config["tiny"]["tiny_tqgf_heads"],
        blendshape_decoder=config["bs"]["nhead"],
    )
    written = {**config["bs"], **config["llm"], "speech_generator_config": config["speech_gen_qwen"]}
    written["speech_encoder_ds_rate"] = config["projector_k"]
    weights = {name: value.clone() for name, value in case.under("weights.").items()}
    checkpoint = Checkpoint.of(weights, f"{case.name}.safetensors")
    return model_of(assemble(checkpoint, written, compat="official", heads=heads), compat="official")


@torch.no_grad()
def _answer(check: Check, model: ExOmni, tag: str, facts: Mapping[str, Any]) -> None:
    given = check.fixture.under(f"{tag}.in.")
    speech = SpeechFeatures(given["mel"], given["mel_lengths"])
    rows, counts = model.speech_projector(*model.speech_encoder(speech))
    features = rows[0, : int(counts[0])]
    check.tensor(f"{tag}.out.speech_feature0", features)
    prompt = splice_as_released(model.llm, given["input_ids"], [features])
    heard = bool((prompt.tokens == model.llm.speech_id).any())
    if not heard:  # without speech the model takes silence: it must be the release's
        silent, count = model.hear_silence(1)
        check.close(f"{tag} silence", silent[0, : int(count[0])], features)
    batch = Batch(
        ids=(tag,),
        task="s2sf" if heard else "t2t",
        tokens=prompt.tokens,
        token_mask=prompt.mask,
        labels=torch.full_like(prompt.tokens, IGNORE),
        speech=speech if heard else None,
    )
    settings = GenerationSettings(max_new_tokens=facts["max_new_tokens"], **GREEDY)
    written = generate_text(model.llm, **writing(model, batch, settings))
    asked = speaking(model, batch, written.hidden, written.mask, written.tokens, settings)
    spoken = generate_units(model.unit_generator, **asked)
    scores = model.unit_generator.unit_head(spoken.hidden)[0].log_softmax(-1)
    face = model.animate(spoken.units, spoken.hidden, spoken.mask).values
    check.tensor(f"{tag}.out.text_ids", written.tokens)
    check.tensor(f"{tag}.out.llm_hidden", written.hidden)
    check.tensor(f"{tag}.out.units", spoken.units[0])
    check.tensor(f"{tag}.out.sg_hidden", spoken.hidden)
    check.tensor(f"{tag}.out.step_logp", scores)
    check.tensor(f"{tag}.out.blendshapes", face)
    reply = generate(model, batch, settings)
    check.exact(f"{tag} reply", reply.units[0].tolist(), spoken.units[0].tolist())
    check.close(f"{tag} reply's face", reply.faces[0], face[0])
    told = {
        "n_text": written.tokens.shape[1],
        "text_ended_with_eos": int(written.tokens[0, -1]) == model.llm.end_id,
        "n_llm_hidden": written.hidden.shape[1],
        "n_sg_hidden": spoken.hidden.shape[1],
        "n_frames": face.shape[1],
        "zero_units": int((spoken.units == 0).sum()),
    }
    for name in told.keys() & facts.keys():
        check.exact(f"{tag} {name}", told[name], facts[name])
    greedy_facts(check, tag, facts, scores, spoken.units.shape[1], model.unit_generator.end_id)
