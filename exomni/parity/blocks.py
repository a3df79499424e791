"""Cases of the small parts: fusion, rotary position, projector, lengths, frames, losses, sampling."""

from __future__ import annotations

import torch

from exomni import clock
from exomni.fusion.tqgf import TQGF, TQGFLayer
from exomni.losses import BlendshapeLoss, label_smoothing_divergence
from exomni.model.generation.sampling import RepetitionAwareSampler, nucleus_filter
from exomni.model.periodic_rope import PeriodicRope
from exomni.model.released.names import our_names
from exomni.model.released.quirks import frames_as_released
from exomni.model.speech_projector import LinearSpeechProjector
from exomni.parity.fixture import Check, Fixture
from exomni.types import IGNORE

FRAME_OPTIONS = {"ctc_hz": "unit_hz", "sr": "sample_rate", "ignore_index": None}  # None: ids below 1 never count


def tqgf(case: Fixture, check: Check) -> None:
    """The fusion with and without a mask, its first layer's halves, and gradients."""
    config = case["config"]
    fusion = TQGF(**{key: config[key] for key in ("dim", "depth", "heads", "dim_head")})
    fusion.load_state_dict(our_names(case.under("weights."), "fusion"))
    query, context = (case.tensor(f"in.{side}").requires_grad_() for side in ("query", "context"))
    mask = case.tensor("in.key_mask")
    everything, queries = torch.ones_like(mask), torch.ones(query.shape[:2], dtype=torch.bool)
    check.tensor("out.nomask", fusion(query, context, queries, everything))
    first = fusion.layers[0]
    assert isinstance(first, TQGFLayer)
    check.tensor("out.layer0_attn_only_masked", first.attention(query, context, mask))
    check.tensor("out.layer0_attn_only_nomask", first.attention(query, context, everything))
    check.tensor("out.layer0_ff_of_query", first.feed_forward(query))
    masked = fusion(query, context, queries, mask)
    check.tensor("out.masked", masked)
    loss = masked.square().mean()
    check.tensor("out.loss_mean_sq_masked", loss)
    for side, gradient in zip(("query", "context"), torch.autograd.grad(loss, [query, context])):
        check.tensor(f"out.grad_{side}", gradient)


def periodic_rope(case: Fixture, check: Check) -> None:
    """Any length, a scaled one, and rows that lie on another axis."""
    dim, period = case["config"]["dim"], case["config"]["period"]
    rope = PeriodicRope(dim, period=period)
    if "weights.inv_freq" in case.tensors:
        check.close("weights.inv_freq", rope.frequencies(), case.tensor("weights.inv_freq"))
    for name in sorted(case.under("in.")):
        if name == "x_scaled":
            scaled = PeriodicRope(dim, period=period, scale=case["scaled_case"]["scaling_factor"])
            check.tensor("out.y_scaled", scaled(case.tensor("in.x_scaled")))
        else:
            check.tensor(f"out.y{name[1:]}", rope(case.tensor(f"in.{name}")))
    for item in case["cases"]:
        check.exact(f"T of x{item['i']}", case.tensor(f"in.x{item['i']}").shape[1], item["T"])


def projector(case: Fixture, check: Check) -> None:
    """Rows joined and projected, remainders dropped."""
    weights = our_names(case.under("weights."), "speech_projector")
    hidden, llm_dim = weights["linear1.weight"].shape[0], weights["linear2.weight"].shape[0]
    join, speech_dim = case["config"]["speech_encoder_ds_rate"], case["config"]["speech_encoder_hidden_size"]
    module = LinearSpeechProjector(speech_dim=speech_dim, llm_dim=llm_dim, join=join, hidden=hidden)
    module.load_state_dict(weights)
    for tag, facts in case["cases"].items():
        rows = case.tensor(f"in.x{tag}")
        counts = torch.full((len(rows),), rows.shape[1])
        projected, kept = module(rows, counts)
        check.tensor(f"out.y{tag}", projected)
        check.exact(f"rows of {tag}", kept.tolist(), [facts["out_len"]] * len(rows))
        check.exact(f"discarded of {tag}", rows.shape[1] - join * facts["out_len"], facts["discarded"])


def speech_lengths(case: Fixture, check: Check) -> None:
    """Mel frames -> encoder rows -> projected rows."""
    encoded = [clock.encoder_rows(frames) for frames in case["mel_frames"]]
    check.exact("encoder_frames", encoded, case["encoder_frames"])
    for join, expected in case["projected_by_k"].items():
        check.exact(f"projected_by_k {join}", [clock.projected_rows(rows, int(join)) for rows in encoded], expected)


def units_to_frames(case: Fixture, check: Check) -> None:
    """Face frames as the release counts them, and the error that it raises."""
    for number, row in enumerate(case["rows"]):
        options = {FRAME_OPTIONS.get(key, key): value for key, value in row["args"].items()}
        options.pop(None, None)
        try:
            frames: object = frames_as_released(row["units"], **options)
        except ValueError as error:
            frames = {"error": type(error).__name__}
        check.exact(f"row {number}", frames, row["frames"])
    for name, table in case.info.items():
        for row in table if name.startswith("table_") else ():
            check.exact(f"{name} n={row['n_units']}", frames_as_released([1] * row["n_units"]), row["frames"])


def bs_loss(case: Fixture, check: Check) -> None:
    """The face loss and its gradient."""
    for tag, facts in case["cases"].items():
        prediction = case.tensor(f"{tag}.in.pred").requires_grad_()
        term = BlendshapeLoss()(prediction, case.tensor(f"{tag}.in.target"), case.tensor(f"{tag}.in.lengths"))
        check.tensor(f"{tag}.out.loss", term.mean)
        check.number(f"{tag} loss", term.mean.item(), facts["loss"])
        check.tensor(f"{tag}.out.grad_pred", torch.autograd.grad(term.mean, prediction)[0])


def label_smoothing_loss(case: Fixture, check: Check) -> None:
    """The divergence per position, reduced in each of the release's ways."""
    for tag, facts in case["cases"].items():
        target = case.tensor(f"{tag}.in.target")
        rows = label_smoothing_divergence(case.tensor(f"{tag}.in.logits"), target, facts["smoothing"])
        counts = (target != IGNORE).sum(1)
        per_row = rows.sum(1) / (counts.clamp(min=1) if facts["normalize_length"] else 1)
        mean = rows.sum() / (counts.sum() if facts["normalize_length"] else len(rows))
        reduced = {"none": per_row, "mean": mean, "sum": rows.sum()}[facts["reduction"]]
        check.tensor(f"{tag}.out.loss", reduced)
        listed = facts["loss"] if isinstance(facts["loss"], list) else [facts["loss"]]
        for number, (ours, theirs) in enumerate(zip(reduced.reshape(-1).tolist(), listed, strict=True)):
            check.number(f"{tag} loss {number}", ours, theirs)


def sampling(case: Fixture, check: Check) -> None:
    """The nucleus, and the rule that samples a repeated unit again from the whole distribution."""
    for facts in case["cases"]:
        tag = facts["tag"]
        kept = nucleus_filter(case.tensor(f"{tag}.in.logp").softmax(-1)[None], facts["top_p"], facts["top_k"])[0]
        ordered, ids = kept.sort(descending=True, stable=True)
        count = int((kept > 0).sum())
        check.exact(f"{tag} n_kept", count, facts["n_kept"])
        check.tensor(f"{tag}.out.kept_ids", ids[:count])
        check.tensor(f"{tag}.out.kept_probs", ordered[:count])
    told = case["ras_defaults"]
    # One id in the nucleus is the release's candidate of rank 0.
    sampler = RepetitionAwareSampler(top_p=told["top_p"], top_k=1, window=told["win_size"], tolerance=told["tau_r"])
    for facts in case["ras"]:
        scores = case.tensor(f"{facts['tag']}.in.logp")[None]
        history = torch.tensor([[-1] * told["win_size"] + facts["history"]])
        chances = sampler.distribution(scores, history, torch.ones_like(scores, dtype=torch.bool))[0]
        full = scores.softmax(-1)[0]
        candidate = int(full.argmax())
        repeated = bool(sampler.repeated(history, len(full))[0, candidate])
        check.exact(f"{facts['tag']} candidate", candidate, facts["nucleus_candidate"])
        check.exact(f"{facts['tag']} fallback", repeated, facts["fallback_triggered"])
        alone = torch.zeros_like(full).index_fill_(0, torch.tensor(candidate), 1.0)
        check.close(f"{facts['tag']} distribution", chances, full if repeated else alone)
        pick = facts["full_distribution_pick"] if repeated else candidate
        check.exact(f"{facts['tag']} result", pick, facts["result"])
