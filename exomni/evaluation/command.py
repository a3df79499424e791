"""`exomni evaluate`: a configuration, a run's folder, or files; one suite or several; results written and tracked."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from exomni import config as configuration
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.declare import Artifacts
from exomni.artifacts.graph import in_order
from exomni.artifacts.making import reused
from exomni.artifacts.materialise import make_here
from exomni.evaluation import result as results
from exomni.evaluation import suite
from exomni.evaluation.artifacts import answers_of, controls, scores, scores_alone, with_face_model
from exomni.evaluation.clip_folder import MOTION, SOUND, VIDEO, ClipFolder
from exomni.evaluation.listed import listed
from exomni.evaluation.names import FILES, GENERATED, SPEECH
from exomni.evaluation.prompts import given_voicebench
from exomni.evaluation.scoring import CLIPS
from exomni.evaluation.store import open_answers
from exomni.evaluation.suite import Suite
from exomni.evaluation.tallies import answer_name
from exomni.metrics.voicebench.sets import Answer, read_items, set_named, write_answers
from exomni.stages.artifacts import stages_of
from exomni.stages.recipe import BEFORE

BUILTIN = "builtin"
Make = Callable[..., list[Path]]  # as `make_here`
RUN_CONFIG = "config.yaml"  # in the folder of a trained stage
Report = Callable[[Mapping[str, Any], Path], None]  # of a result, into its folder
Say = Callable[[str], None]


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
    say: Say = print,
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
    folder = is_folder_of_clips(given)
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


def is_folder_of_clips(source: Path) -> bool:
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
    say: Say,
    report: Report,
) -> None:
    """One suite's result, written, shown and tracked."""
    artifacts = Artifacts(config)
    subject = source.resolve().name if one.data == "files" else f"{config.name} seed {config['seed']}"
    if one.data == "corpus":
        scored, controlled = scores(artifacts, one.overrides), controls(artifacts, one.overrides)
        _refuse_untrained(config, scored)
        _make([scored, controlled], make, say)
    else:
        answers = _of_files(artifacts, one, source, truth) if one.data == "files" else _of_voicebench(artifacts, one, say)
        metrics = config["evaluation.metrics"] if one.data == "files" else listed(config)
        scored = scores_alone(artifacts, one.overrides, answers, subject, metrics=metrics)
        _refuse_untrained(config, scored)
        _make(list(answers.values()), make, say)
        _refuse_empty(answers, subject)
        _make([scored], make, say)
    folder = results.folder_of(one, subject, scored.signature)
    subject += f" + {one.face_model['name']}" if one.face_model else ""
    if one.data == "corpus":
        found = results.of_run(config, one, subject, scored.folder, controlled.folder)
    else:
        found = results.of_clips(config, one, subject, scored.folder, [made.folder for made in answers.values()])
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(scored.folder / CLIPS, folder)
        if one.data == "voicebench":
            _write_voicebench(one, answers, folder)
    found["command"] = command
    path = results.write(folder, found)
    report(found, folder)
    experiment = one.name if one.data == "files" else config.name
    results.track(folder, found, experiment=experiment, subject=subject, digest=scored.signature)
    say(f"wrote {path}")


def _make(wanted: list[Artifact], make: Make, say: Say) -> None:
    """Make artifacts, saying what is reused."""
    for made in wanted:
        if made.complete:
            say(reused(made))
    make(wanted, say=say)


def _of_files(artifacts: Artifacts, one: Suite, source: Path, truth: Path | None) -> dict[str, Artifact]:
    """The clips of a folder as answers."""
    folder = ClipFolder(source, truth, faces=one.face_model is None, limit=one.limit)
    recipe: dict[str, Any] = {"source": str(source.resolve()), "truth": str(truth.resolve()) if truth else None}
    recipe |= {"faces": folder.faces, "limit": one.limit, "videos": one.expert == "syncnet"}
    title, build = f"answers, {source.resolve().name}", "exomni.evaluation.clip_folder:build"
    found = Artifact("answers", title, recipe, build, {"files": folder.given()})
    return {FILES: with_face_model(artifacts, found, one.face_model)}


def _of_voicebench(artifacts: Artifacts, one: Suite, say: Say) -> dict[str, Artifact]:
    """A run's answers to the prompts of a VoiceBench set, by mode."""
    assert one.source is not None and one.set is not None
    if artifacts.config["model.released"]:
        raise ValueError("the released weights speak units that no codec here turns into sound, so there is nothing to score")
    source, expected = suite.path_of(one.source), set_named(one.set).size
    count = sum(1 for _ in islice(read_items(source, one.set), one.limit))
    if count != expected:
        say(f"{one.set}: {count} of the {expected} prompts of the published set")
    found = {}
    for mode in (mode for mode in GENERATED if mode in one.modes):
        given = given_voicebench(source, one.set, one.limit, audio=mode == SPEECH)
        label = f"{one.set}, seed {artifacts.config['seed']}"
        found[mode] = answers_of(artifacts, mode, one.overrides, label, voicebench=given, set=one.set, limit=one.limit)
    return found


def _write_voicebench(one: Suite, answers: Mapping[str, Artifact], folder: Path) -> None:
    """The texts of the answers as VoiceBench's judges take them; of several seeds those of the first."""
    assert one.source is not None and one.set is not None
    first = answer_name("", one.seeds[0]) if len(one.seeds) > 1 else ""
    for mode, made in answers.items():
        said = {clip["id"]: clip["text"] for clip in open_answers(made.folder).clips}
        items = islice(read_items(suite.path_of(one.source), one.set), one.limit)
        kept = [Answer(item, said[item.id + first]) for item in items if item.id + first in said]
        write_answers(folder / f"answers-{mode}.jsonl", kept)


def _refuse_empty(answers: Mapping[str, Artifact], subject: str) -> None:
    """ValueError where nothing can be scored, with the reasons."""
    found = [open_answers(made.folder) for made in answers.values()]
    if not any(map(len, found)):
        reasons = {name: why for one in found for name, why in one.excluded.items()}
        raise ValueError(
            "\n".join([f"{subject}: nothing could be scored", *(f"{name}: {why}" for name, why in reasons.items())])
        )


def _refuse_untrained(config: configuration.Config, scored: Artifact) -> None:
    """Scoring does not train: FileNotFoundError names the stages that are missing."""
    if not scored.complete and any(BEFORE in made.inputs for made in in_order([scored])):
        missing = [stage.name for stage in stages_of(config) if not stage.complete]
        if missing:
            raise FileNotFoundError(
                f"{config.name}: not trained yet: {', '.join(missing)}; run `exomni train` with this configuration"
            )
