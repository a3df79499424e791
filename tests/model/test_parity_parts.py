"""Fusion, generator, decoder, losses, sampling against numbers of the official release (parity cases 1-3, 5-7, 9-12)."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from exomni.fusion.tqgf import TQGF
from exomni.losses import BlendshapeLoss, label_smoothing_divergence
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.official import frames_as_released, our_names
from exomni.model.periodic_rope import PeriodicRope
from exomni.model.sampling import RepetitionAwareSampler, nucleus_filter
from exomni.model.unit_generator import UnitGenerator
from exomni.types import IGNORE

SHARED = Path(os.environ.get("EXOMNI_SHARED", Path(__file__).parents[3] / "shared")) / "parity"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no parity fixtures at {SHARED} (set EXOMNI_SHARED)")


def fixture(name: str) -> tuple[dict, dict[str, torch.Tensor]]:
    tensors = SHARED / f"{name}.safetensors"
    return json.loads((SHARED / f"{name}.json").read_text()), load_file(tensors) if tensors.exists() else {}


def under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def close(actual, expected, tolerance, rtol=None):
    torch.testing.assert_close(actual, expected, atol=tolerance["atol"], rtol=rtol or tolerance.get("rtol", 0.0))


def cases(name: str) -> list[str]:
    return list(json.loads((SHARED / f"{name}.json").read_text())["cases"]) if SHARED.is_dir() else []


@pytest.mark.parametrize("name", ["tqgf_sg", "tqgf_bs"])
def test_tqgf(name):
    info, tensors = fixture(name)
    config, tolerance = info["config"], info["tolerance"]
    fusion = TQGF(**{key: config[key] for key in ("dim", "depth", "heads", "dim_head")})
    fusion.load_state_dict(our_names(under(tensors, "weights."), "fusion"))
    query, context = (tensors[f"in.{side}"].requires_grad_() for side in ("query", "context"))
    mask = tensors["in.key_mask"]
    all_queries = torch.ones(query.shape[:2], dtype=torch.bool)
    close(fusion(query, context, all_queries, torch.ones_like(mask)), tensors["out.nomask"], tolerance)
    first = fusion.layers[0]
    close(first.attention(query, context, mask), tensors["out.layer0_attn_only_masked"], tolerance)
    close(first.attention(query, context, torch.ones_like(mask)), tensors["out.layer0_attn_only_nomask"], tolerance)
    close(first.feed_forward(query), tensors["out.layer0_ff_of_query"], tolerance)
    masked = fusion(query, context, all_queries, mask)
    close(masked, tensors["out.masked"], tolerance)
    loss = masked.square().mean()
    close(loss, tensors["out.loss_mean_sq_masked"], tolerance)
    for gradient, side in zip(torch.autograd.grad(loss, [query, context]), ("query", "context")):
        close(gradient, tensors[f"out.grad_{side}"], tolerance)


def test_periodic_rope():
    info, tensors = fixture("periodic_rope")
    config = info["config"]
    rope = PeriodicRope(config["dim"], period=config["period"])
    for case in info["cases"]:
        close(rope(tensors[f"in.x{case['i']}"]), tensors[f"out.y{case['i']}"], info["tolerance"])
    close(rope(tensors["in.x_seqdim2"]), tensors["out.y_seqdim2"], info["tolerance"])
    scaled = PeriodicRope(config["dim"], period=config["period"], scale=info["scaled_case"]["scaling_factor"])
    close(scaled(tensors["in.x_scaled"]), tensors["out.y_scaled"], info["tolerance"])


def released_decoder(config: dict, weights: dict[str, torch.Tensor], compat: str = "official") -> BlendshapeDecoder:
    decoder = BlendshapeDecoder(
        hidden_dim=config["speech_gen_hidden_size"],
        unit_vocab=config["speech_vocab_size"],
        fusion=lambda dim: TQGF(
            dim=dim, depth=config["bs_tqgf_depth"], heads=config["bs_tqgf_heads"], dim_head=config["bs_tqgf_dim_head"]
        ),
        compat=compat,
        width=config["bs_decoder_dimension"],
        layers=config["num_bs_decoder_layers"],
        heads=config["nhead"],
        dropout=config["dropout_rate"],
        unit_dim=config["speech_embed_dim"],
        period=config["period"],
        out_dim=config["out_dim"],
    )
    decoder.load_state_dict(our_names(weights, "blendshape_decoder"))
    return decoder.eval()


@pytest.mark.parametrize(
    ("name", "tag"), [(name, tag) for name in ("bs_generator", "bs_generator_long") for tag in cases(name)]
)
def test_blendshape_decoder(name, tag):
    info, tensors = fixture(name)
    decoder = released_decoder(info["config"], under(tensors, "weights."))
    given, expected = under(tensors, f"{tag}.in."), under(tensors, f"{tag}.out.")
    hidden = given["hidden"].requires_grad_()
    if "labels" not in given:
        face = decoder(given["units"], hidden, given.get("context_mask"))
        assert face.values.shape[1] == info["cases"][tag]["frames"]
        close(face.values, expected["blendshapes"], info["tolerance"])
        return
    face = decoder(
        given["units"],
        hidden,
        given.get("context_mask"),
        lengths=given["lengths"],
        frames=given["labels"].shape[1],
    )
    for row, target, length in zip(face.values, expected["prediction"], given["lengths"]):
        close(row[:length], target[:length], info["tolerance"])
    loss = BlendshapeLoss()(face.values, given["labels"], given["lengths"]).mean
    close(loss, expected["loss"], info["tolerance"])
    loss.backward()
    close(hidden.grad, expected["grad_hidden"], info["tolerance"])
    gradients = {parameter: value.grad for parameter, value in decoder.named_parameters()}
    for parameter, gradient in our_names(under(expected, "grad."), "blendshape_decoder").items():
        close(gradients[parameter], gradient, info["tolerance"])
    norms = {key: norm for key, norm in info["cases"][tag]["grad_norms"].items() if norm is not None}
    for parameter, norm in our_names(norms, "blendshape_decoder").items():
        assert gradients[parameter].norm().item() == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("tag", ["p1_basic", "p3_short_below_period", "p4_context_mask", "p7_single_unit"])
def test_blendshape_decoder_default_agrees_where_the_release_has_no_quirk(tag):
    info, tensors = fixture("bs_generator")
    decoder = released_decoder(info["config"], under(tensors, "weights."), compat="default")
    given = under(tensors, f"{tag}.in.")
    face = decoder(given["units"], given["hidden"], given.get("context_mask"))
    close(face.values, tensors[f"{tag}.out.blendshapes"], info["tolerance"])


def released_generator(qwen: dict, llm_dim: int, units: int, fusion: dict, compat: str = "official") -> UnitGenerator:
    return UnitGenerator(
        llm_dim=llm_dim,
        text_vocab=qwen["vocab_size"],
        unit_vocab=units,
        fusion=lambda dim: TQGF(dim=dim, **fusion),
        compat=compat,
        layers=qwen["num_hidden_layers"],
        width=qwen["hidden_size"],
        heads=qwen["num_attention_heads"],
        kv_heads=qwen["num_key_value_heads"],
        head_dim=qwen["head_dim"],
        feed_forward=qwen["intermediate_size"],
        rope_theta=qwen["rope_theta"],
    ).eval()


def tiny_generator(info: dict, tensors: dict[str, torch.Tensor], compat: str = "official") -> UnitGenerator:
    config, tiny = info["config"], info["config"]["tiny"]
    fusion = {key: tiny[f"tiny_tqgf_{key}"] for key in ("depth", "dim_head", "heads")}
    generator = released_generator(config["qwen"], config["llm_hidden"], config["units"], fusion, compat)
    generator.load_state_dict(our_names(under(tensors, "weights."), "unit_generator"))
    return generator


def compact(values: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows where `kept`, moved to the front, and their mask."""
    order = (~kept).long().argsort(dim=1, stable=True)[:, : int(kept.sum(1).max())]
    mask = torch.arange(order.shape[1]) < kept.sum(1, keepdim=True)
    return torch.stack([row[index] for row, index in zip(values, order)]), mask


def check_training(generator, given, expected, tolerance, norms=None, gradient_tolerance=None):
    reps = given["text_reps"].requires_grad_()
    hidden, hidden_mask = compact(reps, given["text_labels"] != IGNORE)
    tokens, token_mask = compact(given["text_tokens"], given["text_tokens"] != IGNORE)
    units, unit_mask = compact(given["speech_tokens"], given["speech_tokens"] != IGNORE)
    output = generator(hidden, hidden_mask, tokens, token_mask, units.masked_fill(~unit_mask, IGNORE))
    losses = label_smoothing_divergence(output.logits, output.targets)
    per_sample = losses.sum(1) / output.mask.sum(1)
    close(per_sample, expected["loss_per_sample"], tolerance)
    prompt = generator._prompt(hidden, hidden_mask, tokens, token_mask)
    for row in range(len(units)):
        text, spoken = int(token_mask[row].sum()), int(unit_mask[row].sum())
        task = slice(1 + text, 2 + text + spoken)  # from the task row to the last unit
        if "inputs_embeds" in expected:
            close(prompt.rows[row][prompt.mask[row]], expected["inputs_embeds"][row, : text + 2], tolerance)
            close(output.hidden[row, : spoken + 1], expected["last_hidden"][row, task], tolerance)
            close(output.logits[row, : spoken + 1], expected["unit_logits"][row, task], tolerance)
        assert output.targets[row].tolist() == units[row, :spoken].tolist() + [generator.end_id] + [IGNORE] * (
            units.shape[1] - spoken
        )
    per_sample.mean().backward()
    if "grad_text_reps_of_mean_loss" in expected:
        close(reps.grad, expected["grad_text_reps_of_mean_loss"], tolerance)
    gradients = {name: value.grad for name, value in generator.named_parameters()}
    for name, gradient in our_names(under(expected, "grad."), "unit_generator").items():
        close(gradients[name], gradient, tolerance)
    for name, norm in our_names(norms or {}, "unit_generator").items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("compat", ["official", "default"])
@pytest.mark.parametrize("tag", cases("sg_train"))
def test_unit_generator_training(tag, compat):
    info, tensors = fixture("sg_train")
    check_training(
        tiny_generator(info, tensors, compat),
        under(tensors, f"{tag}.in."),
        under(tensors, f"{tag}.out."),
        info["tolerance"],
        info["cases"][tag]["grad_norms_of_mean_loss"],
    )


def check_prediction(generator, given, expected, tolerance, **ratios):
    reps, tokens = given["text_reps"], given["text_tokens"][:, :-1]  # the release drops the last token, not its state
    masks = [torch.ones(rows.shape[:2], dtype=torch.bool) for rows in (reps, tokens)]
    if "fused_text" in expected:
        close(generator._fuse(reps, masks[0], tokens, masks[1]), expected["fused_text"], tolerance)
    made = generator.generate(reps, masks[0], tokens, masks[1], **ratios)
    assert made.units[0].tolist() == expected["units"].tolist()
    rows = expected["hidden_states"].shape[1]
    assert made.lengths.tolist() == [len(expected["units"])]
    close(made.hidden[:, :rows], expected["hidden_states"], tolerance)
    close(generator.unit_head(made.hidden)[0, :rows].log_softmax(-1), expected["step_logp"], tolerance)
    return made


@pytest.mark.parametrize("tag", cases("sg_predict"))
def test_unit_generator_greedy(tag):
    info, tensors = fixture("sg_predict")
    case = info["cases"][tag]
    ratios = {key.split("_")[0] + "_ratio": value for key, value in case["kwargs"].items()}
    for compat in ("official", "default"):
        if compat == "default" and case["special_steps"]:
            continue  # special ids are then never drawn
        generator = tiny_generator(info, tensors, compat)
        bias = generator.unit_head.bias.data
        bias[generator.end_id] += case["decoder_bias_add"]["eos"]
        bias[generator.end_id + 2] += case["decoder_bias_add"]["fill(unit_vocab+2)"]
        given, expected = under(tensors, f"{tag}.in."), under(tensors, f"{tag}.out.")
        made = check_prediction(generator, given, expected, info["tolerance"], **ratios)
        assert made.hidden.shape[1] == (case["n_hidden"] if compat == "official" else case["n_units"] + 1)


def formula(shape: list[int], name: str, index: int) -> torch.Tensor:
    """The weights of case 7, as its README defines them."""
    flat = torch.arange(int(torch.tensor(shape).prod()), dtype=torch.int64)
    h = (flat * 2654435761 + (index + 1) * 40503) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = h ^ (h >> 13)
    u = h.double() / 2**32 - 0.5
    if len(shape) == 1:
        values = 1 + 0.5 * u if name.endswith("weight") else 0.4 * u
    else:
        values = 2 * u if "embed" in name else u * (12 / (u.numel() / shape[0])) ** 0.5
    return values.float().reshape(shape)


@pytest.mark.slow
def test_unit_generator_at_the_released_sizes():
    info, tensors = fixture("sg_official_dims")
    fusion = {"depth": 2, "dim_head": 256, "heads": 16}
    generator = released_generator(info["qwen"], info["llm_hidden"], info["unit_vocab_size"], fusion)
    weights = {name: formula(shape, name, k) for k, (name, shape) in enumerate(info["param_order_and_shapes"])}
    for name, head in under(tensors, "weight_check.").items():
        torch.testing.assert_close(weights[name].flatten()[: len(head)], head)
    generator.load_state_dict(our_names(weights, "unit_generator"))
    ratio = info["cases"]["predict"]["max_token_text_ratio"]
    check_prediction(
        generator, under(tensors, "predict.in."), under(tensors, "predict.out."), info["tolerance"], max_ratio=ratio
    )
    check_training(generator, under(tensors, "train.in."), under(tensors, "train.out."), info["tolerance"])


@pytest.mark.parametrize("tag", cases("bs_loss"))
def test_blendshape_loss(tag):
    info, tensors = fixture("bs_loss")
    prediction = tensors[f"{tag}.in.pred"].requires_grad_()
    term = BlendshapeLoss()(prediction, tensors[f"{tag}.in.target"], tensors[f"{tag}.in.lengths"])
    close(term.mean, tensors[f"{tag}.out.loss"], info["tolerance"])
    (gradient,) = torch.autograd.grad(term.mean, prediction)
    close(gradient, tensors[f"{tag}.out.grad_pred"], info["tolerance"])


@pytest.mark.parametrize("tag", cases("label_smoothing_loss"))
def test_label_smoothing_loss(tag):
    info, tensors = fixture("label_smoothing_loss")
    case, target = info["cases"][tag], tensors[f"{tag}.in.target"]
    rows = label_smoothing_divergence(tensors[f"{tag}.in.logits"], target, case["smoothing"])
    counts = (target != IGNORE).sum(1)
    normalised = case["normalize_length"]
    reduced = {
        "none": rows.sum(1) / (counts.clamp(min=1) if normalised else 1),
        "mean": rows.sum() / (counts.sum() if normalised else len(rows)),
        "sum": rows.sum(),
    }[case["reduction"]]
    close(reduced, tensors[f"{tag}.out.loss"], info["tolerance"])


def test_frames_as_the_release_counts_them():
    rows = fixture("units_to_frames")[0]["rows"]
    names = {"ctc_hz": "unit_hz", "sr": "sample_rate"}
    for row in rows:
        options = {names.get(key, key): value for key, value in row["args"].items() if key != "ignore_index"}
        if isinstance(row["frames"], dict):
            with pytest.raises(ValueError, match="rate of the units"):
                frames_as_released(row["units"], **options)
        else:
            assert frames_as_released(row["units"], **options) == row["frames"], row


def test_nucleus_and_repetition_rule():
    info, tensors = fixture("sampling")
    for case in info["cases"]:
        chances = tensors[f"{case['tag']}.in.logp"].softmax(-1)[None]
        kept = nucleus_filter(chances, case["top_p"], case["top_k"])[0]
        ordered, ids = kept.sort(descending=True, stable=True)
        count = int((kept > 0).sum())
        assert ids[:count].tolist() == tensors[f"{case['tag']}.out.kept_ids"].tolist()
        torch.testing.assert_close(ordered[:count], tensors[f"{case['tag']}.out.kept_probs"], atol=1e-6, rtol=0)
    sampler = RepetitionAwareSampler()
    for case in info["ras"]:
        history = torch.tensor([[-1] * 10 + case["history"]])
        repeated = sampler.repeated(history, 200)[0, case["nucleus_candidate"]]
        assert bool(repeated) == case["fallback_triggered"], case["tag"]
