"""How fast answers are made: ratios against the same sums written plainly (`plain`), measured in one run on one machine.

    python -m benchmarks generate                                the release's sizes: some minutes and 4 GB on two CPU cores
    python -m benchmarks generate layers=2 steps=8 --json out.json

Random weights serve, for time does not depend on them. Times are those of the processor cores, so that other work on the
machine counts little. With a GPU the whole model is measured too, by the clock on the wall (`full_size`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import plain
from exomni import clock, config, files
from exomni.config import schema
from exomni.fusion.tqgf import TQGF
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.generation.cached_decoder import CachedDecoder
from exomni.model.generation.sampling import GreedySampler, RepetitionAwareSampler, Sampler
from exomni.model.generation.unit_decoding import UnitDecoding
from exomni.model.unit_generator import Prompt, Qwen3UnitGenerator
from exomni.randomness import PromptDraws, uniforms

GIB = 2**30
PROMPT = PromptDraws(0, ("prompt",), "units")
REPEATS = 20  # of a measurement that takes milliseconds


@dataclass(frozen=True)
class Sizes:
    """What is measured; defaults: the unit generator of the release (Qwen3-0.6B), two sizes of its face decoder."""

    layers: int = 28
    width: int = 1024
    heads: int = 16
    kv_heads: int = 8
    head_dim: int = 128
    feed_forward: int = 3072
    units: int = 16384  # vocabulary
    text_vocab: int = 8192  # only looked up: 151 936 rows would take memory and no time
    text_tokens: int = 12
    steps: int = 24  # units that are decoded
    draws: int = 200  # of the sampler alone
    faces: list[str] = field(default_factory=lambda: ["512x4", "1024x8"])  # width x layers
    seconds: list[int] = field(default_factory=lambda: [10, 30, 90])  # of speech whose face is decoded
    repeats: int = 3
    long_minutes: int = 10
    full_size: bool = True  # the whole model, where there is a GPU
    seed: int = 0


def sizes_of(words: Sequence[str]) -> Sizes:
    """Sizes from `key=value` words. ConfigError names what is unknown or of another type."""
    annotations = {item.name: item.type for item in fields(Sizes)}
    kinds: dict[str, Any] = {"int": int, "bool": bool, "list[str]": list[str], "list[int]": list[int]}
    problems: list[str] = []
    given: dict[str, Any] = {}
    for key, value in config.parse_overrides(words).items():
        if key not in annotations:
            problems.append(f"{key}: unknown size; allowed: {', '.join(annotations)}")
            continue
        try:
            given[key] = schema.convert(value, kinds[str(annotations[key])])
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise config.ConfigError(problems)
    return Sizes(**given)


def run(sizes: Sizes, *, say: Callable[[str], None] = print) -> dict[str, Any]:
    """All measurements as a mapping of JSON values; `say` is told what is being measured."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sizes.seed)
        say(f"unit decoding, {sizes.layers} layers x {sizes.width}")
        result: dict[str, Any] = {"threads": torch.get_num_threads(), "unit_decoding": unit_decoding(sizes)}
        for face in sizes.faces:
            say(f"blendshape decoding, {face}")
            result[f"blendshapes_{face}"] = blendshapes(sizes, *map(int, face.split("x")))
        if not sizes.full_size or not torch.cuda.is_available():
            say("whole model: not measured" + ("" if torch.cuda.is_available() else ", there is no GPU here"))
            return result
        from benchmarks import full_size

        say("whole model in bfloat16 on the GPU")
        return result | {"full_size": full_size.run(full_size.Whole(), device="cuda", dtype=torch.bfloat16)}


def main(words: Sequence[str] = (), json: Path | None = None) -> int:
    """Measure, print a line per number, and write `json` where it is given. Returns 0."""
    result = run(sizes_of(words))
    for key, value in _flat(result):
        print(f"{key:58} {value:.4g}" if isinstance(value, float) else f"{key:58} {value}")
    if json is not None:
        files.write_json(json, result)
    return 0


def _flat(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        yield from _flat(value, f"{path}{key}/") if isinstance(value, dict) else [(path + key, value)]


# ---------------------------------------------------------------------------------------------------- units


@torch.no_grad()
def unit_decoding(sizes: Sizes) -> dict[str, Any]:
    """Milliseconds of a step, the share of it outside of the backbone's forward, and the sampler alone, here and plainly."""
    generator = Qwen3UnitGenerator(
        llm_dim=4 * sizes.width,
        text_vocab=sizes.text_vocab,
        unit_vocab=sizes.units,
        fusion=lambda dim: TQGF(dim=dim, depth=2, heads=sizes.heads, dim_head=min(256, dim // 2)),
        layers=sizes.layers,
        width=sizes.width,
        heads=sizes.heads,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        feed_forward=sizes.feed_forward,
    ).eval()
    count = sizes.text_tokens
    hidden, masks = torch.randn(1, count + 1, 4 * sizes.width), torch.ones(1, count + 1, dtype=torch.bool)
    tokens = torch.randint(sizes.text_vocab, (1, count))
    prompt = generator.prompt(hidden, masks, tokens, masks[:, 1:])
    ours, own_steps = _speak(generator, prompt, GreedySampler(), sizes.steps)
    theirs, _ = _timed_plain(generator, prompt, plain.greedy, sizes.steps)
    assert ours == theirs, "the two loops speak otherwise: their times cannot be compared"
    found = {
        "exomni": _speak(generator, prompt, RepetitionAwareSampler(), sizes.steps)[1],
        "plain": _timed_plain(generator, prompt, plain.repetition_aware, sizes.steps)[1],
    }
    result: dict[str, Any] = {"greedy_units_equal": ours == theirs, "steps": sizes.steps}
    for name, steps in {"exomni_greedy": own_steps, **found}.items():
        whole, outside = (statistics.median(part) for part in ([a for a, _ in steps], [a - b for a, b in steps]))
        result[name] = {"ms_per_step": 1e3 * whole, "share_outside_backbone": outside / whole}
    return result | {"sampler": sampler(sizes)}


def _speak(generator: Any, prompt: Prompt, chosen: Sampler, count: int) -> tuple[list[int], list[tuple[float, float]]]:
    """Units, and (seconds of the step, seconds of its backbone) of every step but the one that reads the prompt."""
    limit = torch.tensor([count])
    with _timing(generator.backbone) as inside:
        decoding = UnitDecoding(generator, prompt, limit, limit, chosen, PROMPT, CachedDecoder(generator.backbone))
        steps = []
        for _ in range(count):
            started = time.process_time()
            decoding.step()
            decoding.finished()
            steps.append(time.process_time() - started)
    return decoding.units[0, :count].tolist(), list(zip(steps, inside))[1:]


def _timed_plain(
    generator: Any, prompt: Prompt, choose: plain.Choose, count: int
) -> tuple[list[int], list[tuple[float, float]]]:
    """The same of the plain loop; a step runs from one start of the backbone to the next."""
    begun: list[float] = []
    with _timing(generator.backbone, begun) as inside:
        units = plain.speak(generator, prompt, least=count, most=count, choose=choose)
        begun.append(time.process_time())
    return units, list(zip((b - a for a, b in zip(begun, begun[1:])), inside))[1:]


@contextmanager
def _timing(module: torch.nn.Module, begun: list[float] | None = None) -> Iterator[list[float]]:
    """Seconds of every forward of `module` inside the block; `begun` collects when they began."""
    seconds: list[float] = []
    starts: list[float] = [] if begun is None else begun

    def before(*_: Any) -> None:
        starts.append(time.process_time())

    def after(*_: Any) -> None:
        seconds.append(time.process_time() - starts[-1])

    hooks = module.register_forward_pre_hook(before), module.register_forward_hook(after)
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def sampler(sizes: Sizes) -> dict[str, float]:
    """Milliseconds of one repetition-aware draw from the vocabulary of units, scores and history given.

    Ours draws its uniform numbers for all steps at once: their share of a step is told apart, and counts in `speed_up`.
    """
    scores = 3 * torch.randn(sizes.draws, sizes.units + 3)
    history = torch.randint(sizes.units, (1, 10))
    allowed = torch.ones(1, sizes.units + 3, dtype=torch.bool)
    ours = RepetitionAwareSampler()
    steps = list(zip(scores, uniforms(PROMPT, sizes.draws, ours.draws, "cpu")))
    random, past = torch.Generator().manual_seed(sizes.seed), history[0].tolist()

    def own(row: Tensor, numbers: Tensor) -> Callable[[], Tensor]:
        return lambda: ours(row[None], history, allowed, numbers)

    def plainly(row: Tensor) -> Callable[[], int]:
        return lambda: plain.repetition_aware(row.log_softmax(0), past, random)

    times = {
        "exomni_ms": _median_ms([own(row, numbers) for row, numbers in steps]),
        "uniforms_ms": _median_ms([lambda: uniforms(PROMPT, sizes.draws, ours.draws, "cpu")] * REPEATS) / sizes.draws,
        "plain_ms": _median_ms([plainly(row) for row in scores]),
    }
    return times | {"speed_up": times["plain_ms"] / (times["exomni_ms"] + times["uniforms_ms"])}


def _median_ms(calls: Sequence[Callable[[], Any]]) -> float:
    found = []
    for call in calls:
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return 1e3 * statistics.median(found)


# ---------------------------------------------------------------------------------------------------- faces


@torch.no_grad()
def blendshapes(sizes: Sizes, width: int, layers: int) -> dict[str, Any]:
    """Milliseconds per second of speech here and with plain layers, at several lengths; time and memory of the longest."""
    decoder = _decoder(sizes, width, layers)
    result: dict[str, Any] = {}
    for seconds in sizes.seconds:
        units, hidden = _spoken(sizes, clock.count_at(seconds, 1, clock.UNIT_HZ))
        best = {"exomni": float("inf"), "plain": float("inf")}
        for _ in range(sizes.repeats):  # in turn, so that what else the machine does hits both
            started = time.process_time()
            ours = decoder(units[None], hidden[None]).values[0]
            between = time.process_time()
            theirs = plain.animate(decoder, units, hidden)
            best["exomni"] = min(best["exomni"], between - started)
            best["plain"] = min(best["plain"], time.process_time() - between)
        difference = float((ours - theirs).abs().max())
        # `F.interpolate` counts positions in float32, which is 6e-5 of a unit after a minute.
        assert difference < 1e-3, f"the two decoders differ by {difference}: their times cannot be compared"
        result[f"{seconds}s"] = {
            **{f"{name}_ms_per_second": 1e3 * value / seconds for name, value in best.items()},
            "exomni_over_plain": best["exomni"] / best["plain"],
        }
    if sizes.long_minutes:
        result[f"{sizes.long_minutes}min"] = _long(sizes, decoder)
    return result


def _decoder(sizes: Sizes, width: int, layers: int) -> BlendshapeDecoder:
    return BlendshapeDecoder(
        hidden_dim=sizes.width,
        unit_vocab=sizes.units,
        fusion=lambda dim: TQGF(dim=dim, depth=2, heads=8, dim_head=dim // 8),
        width=width,
        layers=layers,
        heads=8,
        unit_dim=min(512, width),
    ).eval()


def _spoken(sizes: Sizes, count: int) -> tuple[Tensor, Tensor]:
    """Random units (count,) and states (count + 1, W)."""
    return torch.randint(sizes.units, (count,)), torch.randn(count + 1, sizes.width)


@torch.no_grad()
def _long(sizes: Sizes, decoder: BlendshapeDecoder) -> dict[str, float | None]:
    """The longest face: its time, and how far the process's memory rose above what it had (None where Linux is not)."""
    units, hidden = _spoken(sizes, clock.count_at(60 * sizes.long_minutes, 1, clock.UNIT_HZ))
    peaks = Path("/proc/self/clear_refs")
    if peaks.exists():
        peaks.write_text("5")  # the peak begins anew at what is in use
    before, started = _peak_gib(), time.process_time()
    decoder(units[None], hidden[None])
    seconds, after = time.process_time() - started, _peak_gib()
    rise = None if before is None or after is None else after - before
    return {"seconds": seconds, "ms_per_second": 1e3 * seconds / (60 * sizes.long_minutes), "memory_rise_gib": rise}


def _peak_gib() -> float | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024 / GIB
