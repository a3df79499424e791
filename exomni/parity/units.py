"""Cases of the unit generator: teacher-forced, greedy, and at the release's own widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from exomni.losses import label_smoothing_divergence
from exomni.model.generation.unit_decoding import generate_units
from exomni.model.released.names import our_name, our_names
from exomni.model.released.parts import unit_generator
from exomni.model.released.sizes import UNIT_FUSION_HEADS, Shapes, fusion_sizes, generator_sizes
from exomni.model.unit_generator import UnitGenerator
from exomni.parity.fixture import Check, Fixture
from exomni.types import IGNORE


def sg_train(case: Fixture, check: Check) -> None:
    """Losses, states, logits and gradients for given units."""
    generator = build(case.under("weights."), case["config"]["qwen"], case["config"]["tiny"]["tiny_tqgf_heads"])
    for tag, facts in case["cases"].items():
        _train(check, generator, tag, facts)


def sg_predict(case: Fixture, check: Check) -> None:
    """Greedy units with their states, under biases that end answers in every possible way."""
    for tag, facts in case["cases"].items():
        generator = build(case.under("weights."), case["config"]["qwen"], case["config"]["tiny"]["tiny_tqgf_heads"])
        biases = facts["decoder_bias_add"]
        generator.unit_head.bias.data[generator.end_id] += biases["eos"]
        generator.unit_head.bias.data[generator.end_id + 2] += biases["fill(unit_vocab+2)"]
        _predict(check, generator, tag, facts, facts["kwargs"])


def sg_official_dims(case: Fixture, check: Check) -> None:
    """The release's own widths, with weights from a formula."""
    listed = case["param_order_and_shapes"]
    weights = {name: formula(shape, name, index) for index, (name, shape) in enumerate(listed)}
    for name, head in case.under("weight_check.").items():
        check.close(f"weight_check.{name}", weights[name].flatten()[: len(head)], head)
    generator = build(weights, case["qwen"], UNIT_FUSION_HEADS)
    del weights
    tags = sorted({name.partition(".in.")[0] for name in case.tensors if ".in." in name})
    for tag in tags:
        facts = case["cases"].get(tag, {})
        if f"{tag}.in.speech_tokens" in case.tensors:
            _train(check, generator, tag, facts)
        else:
            _predict(check, generator, tag, facts, {key: value for key, value in facts.items() if key.endswith("_ratio")})


def build(weights: Mapping[str, Tensor], qwen: Mapping[str, Any], fusion_heads: int) -> UnitGenerator:
    """The generator that released weights, under names relative to it, make."""
    known = Shapes({name: tuple(value.shape) for name, value in weights.items()})
    sizes, fusion = generator_sizes(known, qwen, ""), fusion_sizes(known, "tqgf.", fusion_heads)
    if known.unknown:
        raise ValueError("; ".join(known.unknown))
    generator = unit_generator(sizes, fusion, "official").eval()
    generator.load_state_dict(our_names(weights, "unit_generator"))
    return generator


def formula(shape: list[int], name: str, index: int) -> Tensor:
    """The weights that the fixtures' README defines for a parameter of `shape`, number `index` in the order of names."""
    count = int(torch.tensor(shape).prod())
    h = (torch.arange(count, dtype=torch.int64) * 2654435761 + (index + 1) * 40503) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    u = (h ^ (h >> 13)).double() / 2**32 - 0.5
    if len(shape) == 1:
        values = 1 + 0.5 * u if name.endswith("weight") else 0.4 * u
    else:
        values = 2 * u if "embed" in name else u * (12 / (count / shape[0])) ** 0.5
    return values.float().reshape(shape)


def greedy_facts(check: Check, tag: str, facts: Mapping[str, Any], scores: Tensor, units: int, end_id: int) -> None:
    """Compare counts of greedy steps with the JSON's; scores (S, V) are the log-probabilities of the steps."""
    least = facts.get("min_len", 0)
    suppressed = int((scores[:least].argmax(-1) == end_id).sum())
    scores = scores.clone()
    scores[:least, end_id] = -torch.inf  # the answer must not end yet: the second best counts
    best = scores.argmax(-1)
    ended = len(scores) > 0 and int(best[-1]) == end_id
    told = {
        "n_units": units,
        "n_steps": len(scores),
        "stopped_by_eos": ended,
        "special_steps": int((best > end_id).sum()),
        **({"eos_suppressed_steps": suppressed} if least else {}),
    }
    for name, value in told.items():
        if name in facts:
            check.exact(f"{tag} {name}", value, facts[name])


def _train(check: Check, generator: UnitGenerator, tag: str, facts: Mapping[str, Any]) -> None:
    given = check.fixture.under(f"{tag}.in.")
    generator.zero_grad()
    states = check.fixture.tensor(f"{tag}.in.text_reps").requires_grad_()
    hidden, hidden_mask = compact(states, given["text_labels"] != IGNORE)
    tokens, token_mask = compact(given["text_tokens"], given["text_tokens"] != IGNORE)
    units, unit_mask = compact(given["speech_tokens"], given["speech_tokens"] != IGNORE)
    output = generator(hidden, hidden_mask, tokens, token_mask, units.masked_fill(~unit_mask, IGNORE))
    per_sample = label_smoothing_divergence(output.logits, output.targets).sum(1) / output.mask.sum(1)
    check.tensor(f"{tag}.out.loss_per_sample", per_sample)
    for number, loss in enumerate(facts.get("loss_per_sample", ())):
        check.number(f"{tag} loss {number}", per_sample[number].item(), loss)
    prompt = generator.prompt(hidden, hidden_mask, tokens, token_mask)
    spoken = generator.unit_embedding(units.masked_fill(~unit_mask, 0))
    _sequences(check, generator, tag, output, prompt, spoken, unit_mask)
    per_sample.mean().backward()
    gradients = {name: value.grad for name, value in generator.named_parameters()}
    expected = check.fixture.under(f"{tag}.out.")
    if "grad_text_reps_of_mean_loss" in expected:
        check.tensor(f"{tag}.out.grad_text_reps_of_mean_loss", states.grad)
    for name in (name.removeprefix("grad.") for name in expected if name.startswith("grad.")):
        check.tensor(f"{tag}.out.grad.{name}", gradients.get(str(our_name(name, "unit_generator"))))
    check.norms(tag, gradients, our_names(facts.get("grad_norms_of_mean_loss", {}), "unit_generator"))


def _sequences(
    check: Check, generator: UnitGenerator, tag: str, output: Any, prompt: Any, spoken: Tensor, unit_mask: Tensor
) -> None:
    """The release's padded sequences [sos][text][task][units][sos], of which our states are a part."""
    expected = check.fixture.under(f"{tag}.out.")
    texts, units = prompt.mask.sum(1).tolist(), unit_mask.sum(1).tolist()
    longest = max(text + count + 1 for text, count in zip(texts, units))
    batch = len(texts)
    embeds = output.hidden.new_zeros(batch, longest, generator.width)
    given = torch.zeros(batch, longest, dtype=torch.bool)
    for row, (text, count) in enumerate(zip(texts, units)):
        embeds[row, :text] = prompt.rows[row][prompt.mask[row]]
        embeds[row, text : text + count] = spoken[row, :count]
        embeds[row, text + count] = generator.prompt_embedding.weight[0]
        given[row, : text + count + 1] = True
    hidden = generator.backbone(inputs_embeds=embeds, attention_mask=given.long(), use_cache=False).last_hidden_state
    for row, (text, count) in enumerate(zip(texts, units)):  # ours: from the task row to the last unit
        check.close(f"{tag} states of {row}", output.hidden[row, : count + 1], hidden[row, text - 1 : text + count])
    logits = generator.unit_head(hidden)
    for name, actual in (("inputs_embeds", embeds), ("last_hidden", hidden), ("unit_logits", logits)):
        if name in expected:
            check.tensor(f"{tag}.out.{name}", actual, kept=given)


def _predict(check: Check, generator: UnitGenerator, tag: str, facts: Mapping[str, Any], ratios: Mapping[str, float]) -> None:
    given, expected = check.fixture.under(f"{tag}.in."), check.fixture.under(f"{tag}.out.")
    states, tokens = given["text_reps"], given["text_tokens"][:, :-1]  # the last token is dropped, its state is not
    masks = [torch.ones(rows.shape[:2], dtype=torch.bool) for rows in (states, tokens)]
    options: dict[str, Any] = {f"{key.partition('_')[0]}_ratio": value for key, value in ratios.items()}
    with torch.no_grad():
        if "fused_text" in expected:
            check.tensor(f"{tag}.out.fused_text", generator._fuse(states, masks[0], tokens, masks[1]))
        made = generate_units(generator, states, masks[0], tokens, masks[1], **options)
        scores = generator.unit_head(made.hidden)[0].log_softmax(-1)
    check.tensor(f"{tag}.out.units", made.units[0])
    check.tensor(f"{tag}.out.hidden_states", made.hidden)
    check.tensor(f"{tag}.out.step_logp", scores)
    least, most = (int(options.get(f"{end}_ratio", ratio) * tokens.shape[1]) for end, ratio in (("min", 2.0), ("max", 20.0)))
    lengths = {"n_text_incl_eos": tokens.shape[1] + 1, "min_len": least, "max_len": most, "n_hidden": made.hidden.shape[1]}
    for name in lengths.keys() & facts.keys():
        check.exact(f"{tag} {name}", lengths[name], facts[name])
    greedy_facts(check, tag, {"min_len": least, **facts}, scores, made.units.shape[1], generator.end_id)


def compact(values: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of `values` (B, L, ...) where `kept` (B, L), moved to the front, and their mask."""
    counts = kept.sum(1)
    order = (~kept).long().argsort(dim=1, stable=True)[:, : int(counts.max())]
    rows = torch.stack([row[index] for row, index in zip(values, order)])
    return rows, torch.arange(order.shape[1]) < counts[:, None]
