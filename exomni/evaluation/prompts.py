"""A run's answers to the prompts of a VoiceBench set, as the paper's Table 3 scores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from exomni.artifacts.materialise import made_sources
from exomni.audio import read_audio
from exomni.config import Config, registry
from exomni.data import conversation
from exomni.evaluation.answers import on_device, replies
from exomni.evaluation.board import Pair, Report
from exomni.evaluation.judging import Judges, Outcome
from exomni.evaluation.names import SPEECH, TEXT
from exomni.evaluation.scoring import with_face
from exomni.evaluation.suite import Suite, path_of
from exomni.evaluation.tallies import answer_name
from exomni.metrics.voicebench.sets import Answer, read_items, set_named, write_answers
from exomni.model.generation.settings import generation_settings
from exomni.stages.assemble import collator_for, open_codec
from exomni.stages.runs import load_run
from exomni.types import Clip, Sample

Say = Callable[[str], None]


def score_voicebench(config: Config, suite: Suite, *, answers: Path, say: Say) -> Outcome:
    """A run's answers to the prompts of a VoiceBench set; written to `answers` as VoiceBench's judges take them."""
    assert suite.source is not None and suite.set is not None
    items = list(read_items(path_of(suite.source), suite.set, audio=SPEECH in suite.modes))[: suite.limit]
    if config["model.released"]:
        raise ValueError("the released weights speak units that no codec here turns into sound, so there is nothing to score")
    expected = set_named(suite.set).size
    if len(items) != expected:
        say(f"{suite.set}: {len(items)} of the {expected} prompts of the published set")
    model = on_device(load_run(config), config["hardware.accelerator"])
    collator, codec_folder = collator_for(model), Path(made_sources(config, ["codec"])["codec"])
    codec, panel = open_codec(config["codec"], codec_folder), Judges(config, suite)
    face = registry.build("face_model", suite.face_model) if suite.face_model else None
    whole = Outcome(judges=panel.facts)
    for mode in (mode for mode in (TEXT, SPEECH) if mode in suite.modes):
        unable: dict[str, str] = {}
        samples = [sample for item in items if (sample := _prompt(item, mode, unable)) is not None]
        clips: list[Clip] = []
        for seed in suite.seeds or (generation_settings(config).seed,):
            suffix = answer_name("", seed) if len(suite.seeds) > 1 else ""
            clips += _spoken(model, collator, codec, samples, config, seed, suffix, unable, say)
        said = {clip.id: clip.text for clip in clips}
        first = answer_name("", suite.seeds[0]) if len(suite.seeds) > 1 else ""
        write_answers(
            answers / f"answers-{mode}.jsonl",
            [Answer(item, said[item.id + first]) for item in items if item.id + first in said],
        )
        pairs = [Pair(clip, clip) for clip in clips]
        if face is not None:
            pairs = list(with_face(face, pairs, unable))
        found = panel.score(pairs, set())
        whole.report.take(found.report.withhold_unheard(), mode)
        for name, row in found.rows.items():
            whole.rows.setdefault(name, Report()).take(row, mode)
        whole.n[mode], whole.excluded[mode] = len(pairs), unable
    if not any(whole.n.values()):
        reasons = sorted({why for unable in whole.excluded.values() for why in unable.values()})
        raise ValueError(f"{suite.set}: nothing could be scored: {'; '.join(reasons[:3])}")
    return whole


def _prompt(item: Any, mode: str, unable: dict[str, str]) -> Sample | None:
    """A VoiceBench item as a prompt; None where its recording cannot be used, which goes to `unable`."""
    if mode == TEXT:
        return Sample(item.id, "t2t", conversation.user_turn("t2t", item.prompt, heard=False), "", item.prompt)
    if item.audio is None:
        unable[item.id] = "it has no recording"
        return None
    try:
        audio = read_audio(item.audio)
    except (OSError, ValueError) as error:
        unable[item.id] = f"its recording cannot be read: {error}"
        return None
    return Sample(item.id, "s2sf", conversation.user_turn("s2sf", "", heard=True), "", item.prompt, prompt_audio=audio)


def _spoken(
    model: Any,
    collator: Any,
    codec: Any,
    samples: Sequence[Sample],
    config: Config,
    seed: int,
    suffix: str,
    unable: dict[str, str],
    say: Say,
) -> list[Clip]:
    """The model's answers, batch by batch; a prompt that cannot be heard, and an answer of nothing, go to `unable`."""
    settings = replace(generation_settings(config), seed=seed)
    size, clips = config["evaluation.batch_size"], []
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        try:
            answers = replies(model, collator, codec, part, settings)
        except ValueError:  # one prompt of the batch cannot be taken: the others can
            answers = []
            for sample in part:
                try:
                    answers += replies(model, collator, codec, [sample], settings)
                except ValueError as error:
                    unable[sample.id + suffix] = str(error)
        for clip in answers:
            if len(clip.face):
                clips.append(replace(clip, id=clip.id + suffix))
            else:
                unable[clip.id + suffix] = "the model said nothing"
        say(f"answered {min(start + size, len(samples))} of {len(samples)} prompts")
    return clips
