"""The command line: parses and prints. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Handler = Callable[[argparse.Namespace], int]
OVERRIDES = "key.path=value settings that go over the YAML, in any order"
DEBUG = "show the full trace of an error"
BENCHES = ("codec", "generate", "sync")  # modules of exomni.bench, each with a `main`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 only on success. A user's mistake is one clear line on stderr."""
    options = parse(arguments)
    try:
        return options.handler(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this one ended", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except (ValueError, OSError, FloatingPointError, RuntimeError) as error:
        if options.debug:
            raise
        print(f"exomni {options.command}: {_said(error)}", file=sys.stderr)
        return 2


def _said(error: Exception) -> str:
    """An error as the user reads it: of a RuntimeError the first line, for PyTorch's bring a trace of C++ along."""
    if not isinstance(error, RuntimeError):
        return str(error)
    first = str(error).strip().partition("\n")[0]
    return f"{first or type(error).__name__} (--debug shows the full trace)"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command. Overrides may stand anywhere; argparse alone takes them next to other positional words only."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    late = [word for word in rest if "=" in word and not word.startswith("-") and "overrides" in options]
    unknown = [word for word in rest if word not in late]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)} (exomni {options.command} --help lists what there is)")
    if late:
        options.overrides += late
    return options


def build_parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    parser = argparse.ArgumentParser(
        prog="exomni", description="Experiments with language models that answer in text, speech and a 3D face (Ex-Omni)."
    )
    parser.add_argument("--debug", action="store_true", help=DEBUG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, handler: Handler, text: str, example: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=text, description=text, epilog=f"example: {example}", formatter_class=argparse.RawTextHelpFormatter
        )
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG)
        made.set_defaults(handler=handler)
        return made

    _run_commands(command)
    _ablation_commands(command)
    _artifact_commands(command)
    _look_commands(command)
    _material_commands(command)
    return parser


def _run_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    train = command(
        "train", _train, "train one run: make what is absent, train its stages", "exomni train experiments/nano.yaml"
    )
    _config_arguments(train)
    train.add_argument("--until", metavar="STAGE", help="stop after this stage")
    _work_arguments(train)
    evaluate = command(
        "evaluate",
        _evaluate,
        "score a finished run, or faces and sounds in files",
        "exomni evaluate experiments/nano.yaml --suite builtin",
    )
    evaluate.add_argument("source", help="a YAML file or a name in experiments/, a run's folder, or a folder of files")
    _override_arguments(evaluate)
    evaluate.add_argument(
        "--suite", action="append", default=[], metavar="NAME", help="what to score on what; may be given several times"
    )
    evaluate.add_argument("--truth", type=Path, metavar="FOLDER", help="true faces of the same names, for files")
    evaluate.add_argument("--face-model", metavar="NAME", help="score the face that this model gives the same sound")
    generate = command(
        "generate",
        _generate,
        "answer a prompt with text, speech and a face",
        'exomni generate experiments/nano.yaml --text "What color is a lemon?"',
    )
    _config_arguments(generate)
    prompt = generate.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--text", help="a prompt to be read")
    prompt.add_argument("--speech", type=Path, metavar="WAV", help="a prompt to be heard")
    generate.add_argument(
        "--out", type=Path, default=Path("answer"), metavar="DIR", help="where the answer goes (default: answer)"
    )
    generate.add_argument(
        "--formats",
        type=lambda names: [name.strip() for name in names.split(",") if name.strip()],
        metavar="A,B,...",
        help="what to write, by the names of `exomni list exporter` (default: everything that can be written here)",
    )
    generate.add_argument(
        "--timecode-fps", type=int, choices=[30, 60], default=60, help="rows a second of the Live Link Face CSV (default: 60)"
    )


def _ablation_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    ablate = command(
        "ablate",
        _ablate,
        "run every cell of an ablation that is not complete, then report",
        "exomni ablate ablations/nano_fusion.yaml",
    )
    ablate.add_argument("ablation", help="a YAML file, or a name in ablations/")
    ablate.add_argument("overrides", nargs="*", metavar="key=value", help=OVERRIDES)
    _work_arguments(ablate)
    status = command("status", _status, "where ablations and runs stand, live", "exomni status nano_fusion")
    status.add_argument("name", nargs="?", help="of an ablation or a run; all of them without one")
    report = command("report", _report, "print an ablation's report", "exomni report nano_fusion --format latex")
    report.add_argument("ablation", help="its name")
    report.add_argument("--format", choices=["text", "md", "latex", "html", "json"], default="text")


def _artifact_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    explain = command(
        "explain", _explain, "all that an artifact's signature was computed from, or how two differ", "exomni explain 3f2a9c1"
    )
    explain.add_argument("signature", help="its first digits, as `status` and `train` print them")
    explain.add_argument("other", nargs="?", metavar="SIGNATURE", help="say what differs from this one")
    adopt = command(
        "adopt",
        _adopt,
        "declare that an edit of sources changes no number, on record",
        'exomni adopt 3f2a9c1 --why "renamed a variable"',
    )
    adopt.add_argument("old", help="an artifact that was made before the edit")
    adopt.add_argument("new", nargs="?", help="one that was made after it (default: the sources of today)")
    adopt.add_argument("--why", required=True, help="what was edited, for whoever reads the report")
    collect = command("gc", _gc, "show what no work refers to, and delete it when asked", "exomni gc")
    collect.add_argument("--keep", action="append", default=[], metavar="NAME", help="only what these works refer to stays")
    collect.add_argument("--delete", action="store_true", help="delete it (default: show it with sizes)")
    pack = command("pack", _pack, "one archive of an ablation or run, for a colleague", "exomni pack nano_fusion")
    pack.add_argument("name", help="of an ablation or a run, as `exomni status` lists them")
    pack.add_argument("--out", type=Path, metavar="FILE", help="the archive (default: NAME.tar.gz)")
    pack.add_argument("--weights", action="store_true", help="with everything, so that it can be reused, not only read")
    unpack = command("unpack", _unpack, "put a packed ablation or run among the outputs", "exomni unpack nano_fusion.tar.gz")
    unpack.add_argument("archive", type=Path)


def _look_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    show = command(
        "show",
        _show,
        "print a resolved experiment with the origin of every value",
        "exomni show experiments/nano.yaml model.face_fusion=concat",
    )
    _config_arguments(show)
    show.add_argument(
        "--parameters", action="store_true", help="how large the model is, part by part; nothing is downloaded or made"
    )
    diff = command("diff", _diff, "what differs between two experiments", "exomni diff nano fusion/concat")
    diff.add_argument("a")
    diff.add_argument("b")
    listing = command("list", _list, "registered components of a kind", "exomni list fusion")
    listing.add_argument("kind", nargs="?", help="a kind; all kinds without one")
    new = command("new", _new, "write a new component: Python file, YAML and test", "exomni new fusion film")
    new.add_argument("kind", choices=["fusion"])
    new.add_argument("name", help="lower-case letters, digits and underscores")
    command("doctor", _doctor, "check what this machine has", "exomni doctor")
    ui = command("ui", _ui, "open the MLflow UI on this machine's loopback address", "exomni ui --port 5001")
    ui.add_argument("--port", type=int, default=5000)


def _material_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    data = command("data", _data, "build, check or describe a corpus", "exomni data stats builtin")
    data.add_argument("action", choices=["build", "check", "stats"])
    data.add_argument("corpus", help="builtin, or a folder with a manifest.jsonl")
    data.add_argument("overrides", nargs="*", metavar="key=value", help="options of the corpus, such as sentences=200")
    assets = command(
        "assets",
        _assets,
        "download released weights and models with their licences, or list them",
        "exomni assets get whisper-tiny.en smollm2-135m",
    )
    assets.add_argument("action", choices=["get", "list"])
    assets.add_argument("names", nargs="*", metavar="NAME", help="what to get; the names that list shows")
    assets.add_argument(
        "--accept-licence",
        "--accept-license",
        action="store_true",
        help="you have read and accept the licences that restrict use",
    )
    parity = command(
        "parity", _parity, "compare the model with numbers of the released one, case by case", "exomni parity shared/parity"
    )
    parity.add_argument("folder", type=Path, metavar="DIR", help="fixtures: NAME.json with NAME.safetensors")
    bench = command("bench", _bench, "measure a part of exomni", "exomni bench codec")
    bench.add_argument("name", choices=BENCHES)
    bench.add_argument("overrides", nargs="*", metavar="key=value", help="sizes of the benchmark `generate`, such as layers=2")
    bench.add_argument("--config", default="nano", help="experiment whose codec is measured, and whose threads (default: nano)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file too")


def _work_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show the plan with its cost, run nothing")
    parser.add_argument("--executor", default="local", help="where jobs run (default: local)")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first job that fails")
    parser.add_argument("--retry-failed", action="store_true", help="do again what failed before")


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a YAML file, or a name in experiments/")
    _override_arguments(parser)


def _override_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=OVERRIDES)
    parser.add_argument("--over", action="append", default=[], metavar="YAML", help="another file to merge over it (smoke)")


def _load(options: argparse.Namespace) -> Any:
    """The configuration of a run that can work; from here on this process computes with its number of threads."""
    return _loaded(options.config, options.overrides, options.over)


def _loaded(source: str, overrides: Sequence[str], over: Sequence[str]) -> Any:
    from exomni import config
    from exomni.stages.checks import check

    loaded = config.load(source, overrides, over)
    check(loaded)
    use_threads(loaded["threads"])
    return loaded


def use_threads(count: int) -> None:
    """Compute with `count` threads. Set here, at the entry point, and nowhere else."""
    import torch

    torch.set_num_threads(count)


def _train(options: argparse.Namespace) -> int:
    from exomni import training

    return training.run(
        _load(options),
        until=options.until,
        executor=options.executor,
        dry_run=options.dry_run,
        fail_fast=options.fail_fast,
        retry_failed=options.retry_failed,
    )


def _evaluate(options: argparse.Namespace) -> int:
    from exomni.evaluation import command

    return command.run(
        options.source,
        options.overrides,
        over=options.over,
        suites=options.suite,
        truth=options.truth,
        face_model=options.face_model,
        load=_loaded,
    )


def _generate(options: argparse.Namespace) -> int:
    from exomni import generate

    for path in generate.answer(
        _load(options),
        text=options.text,
        speech=options.speech,
        out=options.out,
        formats=options.formats,
        timecode_fps=options.timecode_fps,
    ):
        print(path)
    return 0


def _ablate(options: argparse.Namespace) -> int:
    from exomni.ablation import launch

    return launch.run(
        options.ablation,
        options.overrides,
        dry_run=options.dry_run,
        executor=options.executor,
        fail_fast=options.fail_fast,
        retry_failed=options.retry_failed,
    )


def _status(options: argparse.Namespace) -> int:
    from exomni.artifacts import status

    print(status.text(options.name))
    return 0


def _report(options: argparse.Namespace) -> int:
    from exomni.ablation import launch

    print(launch.report(options.ablation, options.format))
    return 0


def _explain(options: argparse.Namespace) -> int:
    from exomni.artifacts import lifecycle

    one, other = options.signature, options.other
    print(lifecycle.explain(one) if other is None else lifecycle.compare(one, other))
    return 0


def _adopt(options: argparse.Namespace) -> int:
    from exomni.artifacts import lifecycle

    print(lifecycle.adopt(options.old, options.new, options.why))
    return 0


def _gc(options: argparse.Namespace) -> int:
    from exomni.artifacts import lifecycle

    found = lifecycle.garbage(options.keep)
    for one in found:
        print(f"{one.bytes / 1e6:10.1f} MB  {one.folder.parent.name}/{one.folder.name}  {one.title}")
    total = sum(one.bytes for one in found) / 1e6
    if options.delete:
        lifecycle.delete(found)
        print(f"deleted {len(found)} artifacts, {total:.1f} MB")
    else:
        print(f"{len(found)} artifacts that no work refers to, {total:.1f} MB" + ("; --delete deletes them" if found else ""))
    return 0


def _pack(options: argparse.Namespace) -> int:
    from exomni.artifacts import lifecycle

    archive = options.out or Path(f"{options.name}.tar.gz")
    print(f"packed {lifecycle.pack(options.name, archive, weights=options.weights)} artifacts into {archive}")
    return 0


def _unpack(options: argparse.Namespace) -> int:
    from exomni.artifacts import lifecycle

    print(f"{lifecycle.unpack(options.archive)} new files from {options.archive}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from exomni import config

    loaded = config.load(options.config, options.overrides, options.over)
    if options.parameters:
        from exomni.stages import parameters

        for line in parameters.table(parameters.measure(loaded)):
            print(line)
        return 0
    lines = loaded.yaml().rstrip().splitlines()
    origins = {path: loaded.origin(path) for path, _ in config.leaves(loaded.data)}
    width = max(map(len, lines)) + 2
    trail: list[tuple[int, str]] = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        key = line.strip().partition(":")[0]
        trail = [(level, name) for level, name in trail if level < depth] + [(depth, key)]
        origin = origins.get(".".join(name for _, name in trail))
        print(f"{line:{width}}# {origin}" if origin else line)
    return 0


def _diff(options: argparse.Namespace) -> int:
    from exomni import config

    for path, (a, b) in config.load(options.a).difference(config.load(options.b)).items():
        print(f"{path}: {a} -> {b}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from exomni.config import registry

    for kind in [options.kind] if options.kind else sorted(registry.KINDS):
        print(f"{kind}:")
        for entry in registry.entries(kind):
            arguments = ", ".join(str(parameter).replace("'", "") for parameter in entry.options().values())
            print(f"  {entry.name:20} {entry.origin:12} {entry.summary}\n{'':22}options: {arguments or 'none'}")
        for message in registry.conflicts(kind):
            print(f"  conflict: {message}")
        for label, error in registry.broken_plugins().items():
            print(f"  plugin {label!r} failed to import: {error}")
    return 0


def _new(options: argparse.Namespace) -> int:
    from exomni import scaffold

    for path in scaffold.new_fusion(options.name):
        print(f"wrote {path}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from exomni import doctor

    return doctor.run()


def _ui(options: argparse.Namespace) -> int:
    from exomni import tracking

    return tracking.serve(options.port)


def _data(options: argparse.Namespace) -> int:
    from exomni import corpora

    return corpora.run(options.action, options.corpus, options.overrides)


def _assets(options: argparse.Namespace) -> int:
    from exomni.assets import command

    return command.run(options.action, options.names, accept=options.accept_licence)


def _parity(options: argparse.Namespace) -> int:
    from functools import partial

    from exomni.parity import runner

    return 0 if runner.run(options.folder, say=partial(print, flush=True)) else 1


def _bench(options: argparse.Namespace) -> int:
    import importlib
    import inspect

    from exomni import config

    use_threads(config.load(options.config)["threads"])
    main = importlib.import_module(f"exomni.bench.{options.name}").main
    given = {"config": options.config, "words": options.overrides, "json": options.json}
    taken = inspect.signature(main).parameters
    for name, text in (("words", "sizes"), ("json", "--json")):
        if given[name] and name not in taken:
            raise ValueError(f"bench {options.name} takes no {text}; bench generate does")
    return main(**{name: value for name, value in given.items() if name in taken})


if __name__ == "__main__":
    sys.exit(main())
