"""`exomni evaluate`: a configuration, a run's folder, or files; one suite or several; results written and tracked."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from exomni import config as configuration
from exomni.artifacts import signature as identity
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.making import reused
from exomni.artifacts.materialise import make_here
from exomni.evaluation import result as results
from exomni.evaluation import suite
from exomni.evaluation.artifacts import controls, scores
from exomni.evaluation.judging import picture_judge, score_files
from exomni.evaluation.material import MOTION, SOUND, VIDEO
from exomni.evaluation.overrides import EvaluationOverrides
from exomni.evaluation.prompts import score_voicebench
from exomni.evaluation.suite import Suite
from exomni.stages.artifacts import stages_of
from exomni.stages.recipe import BEFORE

BUILTIN, FILES = "builtin", "files"
Make = Callable[..., list[Path]]  # as `make_here`
RUN_CONFIG = "config.yaml"  # in the folder of a trained stage
Report = Callable[[Mapping[str, Any], Path], None]  # of a result, into its folder


def run(
    source: str,
    overrides: Sequence[str] = (),
    *,
    over: Sequence[str] = (),
    suites: Sequence[str] = (),
    truth: Path | None = None,
    face_model: str | None = None,
    load: Callable[[str, Sequence[str], Sequence[str]], configuration.Config] = configuration.load,
    make: Make = make_here,
    say: Callable[[str], None] = print,
    report: Report = lambda result, folder: None,
) -> int:
    """Score `source` by every suite; 0 when one of them could be scored. `load` reads the experiment and sets its threads.
    `make` makes artifacts wherever it likes.

    report: shows every result when it is written, and may add to its folder.

    Words that set a suite's keys (`limit=20`, `source=FOLDER`) go over the suites, all others over the experiment.
    """
    own = suite.own_words(overrides)
    rest = [word for word in overrides if word not in own]
    own += [f"face_model={face_model}"] if face_model else []
    given = Path(source)
    folder = is_material(given)
    chosen = [suite.read(name, own) for name in suites or ([FILES] if folder else [BUILTIN])]
    if truth is not None and not folder:
        raise ValueError("--truth goes with a folder of files; a run is compared with its own corpus")
    for one in chosen:
        if (one.data == "files") != folder:
            wanted = "a folder of files" if one.data == "files" else "an experiment"
            raise ValueError(f"the suite {one.name} scores {wanted}, and {source} is none")
    command = _command(source, overrides, suites=suites, truth=truth, face_model=face_model)
    scored = 0
    for one in chosen:
        try:
            experiment = one.experiment if folder else _experiment(given)
            config = one.over(load(experiment, rest, over))
            _score(config, one, given, truth, command, make, say, report)
        except (FileNotFoundError, ValueError) as error:
            if len(chosen) == 1:
                raise
            say(f"{one.name}: not scored: {error}")
            continue
        scored += 1
    return 0 if scored else 1


def _command(source: str, words: Sequence[str], *, suites: Sequence[str], truth: Path | None, face_model: str | None) -> str:
    """What to type for the same scores again."""
    options = [word for name in suites for word in ("--suite", name)]
    options += ["--truth", str(truth)] if truth is not None else []
    options += ["--face-model", face_model] if face_model else []
    return shlex.join(["exomni", "evaluate", source, *words, *options])


def is_material(source: Path) -> bool:
    """Whether `source` names files to be scored: a folder that is no run's, or a motion, sound or video file."""
    if source.is_dir():
        return not (source / RUN_CONFIG).is_file()
    return source.suffix.lower() in (*MOTION, *SOUND, *VIDEO)


def _experiment(source: Path) -> str:
    """The configuration of a run's folder, or the name as it is."""
    return str(source / RUN_CONFIG) if source.is_dir() else str(source)


def _score(
    config: configuration.Config,
    one: Suite,
    source: Path,
    truth: Path | None,
    command: str,
    make: Make,
    say: Callable[[str], None],
    report: Report,
) -> None:
    """One suite's result, written, shown and tracked."""
    if one.data == "corpus":
        overrides, artifacts = overrides_of(one), Artifacts(config)
        scored, controls_ = scores(artifacts, overrides), controls(artifacts, overrides)
        digest = scored.signature
        subject = f"{config.name} seed {config['seed']}"
        folder = results.folder_of(one, subject, digest)
        _refuse_untrained(config, scored)
        for made in (scored, controls_):
            if made.complete:
                say(reused(made))
        make([scored, controls_], say=say)
        subject += f" + {one.face_model['name']}" if one.face_model else ""
        found, clips = results.of_run(config, one, subject, scored.folder, controls_.folder), None
    else:
        files = one.data == "files"
        subject = source.resolve().name if files else f"{config.name} seed {config['seed']}"
        digest = identity.of({"suite": dict(one.settings), "subject": str(source.resolve()), "config": config.flat()})
        folder = results.folder_of(one, subject, digest)
        outcome = score_files(config, one, source, truth) if files else score_voicebench(config, one, answers=folder, say=say)
        subject += f" + {one.face_model['name']}" if one.face_model else ""
        found = results.of_outcome(config, one, subject, outcome)
        clips = {"tallies": outcome.report.tallies, "values": outcome.report.values}
    found["command"] = command
    path = results.write(folder, found, clips)
    report(found, folder)
    results.track(folder, found, experiment=one.name if one.data == "files" else config.name, subject=subject, digest=digest)
    say(f"wrote {path}")


def _refuse_untrained(config: configuration.Config, scored: Artifact) -> None:
    """Scoring does not train: FileNotFoundError names the stages that are missing."""
    if BEFORE in scored.inputs:
        missing = [stage.name for stage in stages_of(config) if not stage.complete]
        if missing and not scored.complete:
            raise FileNotFoundError(
                f"{config.name}: not trained yet: {', '.join(missing)}; run `exomni train` with this configuration"
            )


def overrides_of(one: Suite) -> EvaluationOverrides:
    """What a suite changes about how a run is scored."""
    changed = EvaluationOverrides(modes=one.modes, judge=picture_judge(one), shifts=one.shifts, seeds=one.seeds)
    return replace(changed, face_model=one.face_model) if one.face_model else changed
