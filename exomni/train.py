"""One run: what it needs is made, then its stages are trained in order; what is complete is reused, and said so.

Nothing here knows about sweeps. A stage's folder is named by its signature, so two runs that agree on everything a stage reads
share it, also when they run at the same time: the second one waits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from exomni import config as configuration
from exomni import files, tracking
from exomni.artifacts import signature
from exomni.config import registry
from exomni.pretrain import artefacts as making
from exomni.stages.assemble import assemble
from exomni.stages.base import NOT_FINITE, Materials
from exomni.stages.fit import WEIGHTS, fit
from exomni.stages.logger import METRICS
from exomni.stages.schedule import Hardware
from exomni.steps import Step, declared, schedule_of, steps, used_artefacts


def run(
    config: configuration.Config,
    *,
    until: str | None = None,
    say: Callable[[str], None] = print,
    after: Callable[[], object] = lambda: None,
) -> list[Step]:
    """Make what is absent, train what is incomplete, up to stage `until`; says what is reused. Returns the steps.

    `after` is called after every stage, for those who follow the run from outside.
    """
    chain = steps(config)
    making.demand(config)
    names = [step.name for step in chain]
    if until is not None and until not in names:
        raise ValueError(
            f"stage {until!r} is not part of this run{registry.did_you_mean(until, names)}; stages: {', '.join(names)}"
        )
    wanted = chain if until is None else chain[: names.index(until) + 1]
    for step in wanted:
        with files.locked(step.folder.with_name(step.folder.name + ".lock")):
            done = files.done(step.folder)
            if done is not None:
                say(f"reused {step.name} {step.signature[:7]} ({done['finished']})")
            elif Hardware(**config["hardware"]).world > 1:
                train_step_apart(config, step, say)
            else:
                train_step(config, step, say)
        after()
    return chain


def run_tracked(config: configuration.Config, *, until: str | None = None, say: Callable[[str], None] = print) -> list[Step]:
    """`run`, shown in MLflow: an experiment named as the YAML file, one run for this configuration."""
    chain = steps(config)
    making.demand(config)
    identity = chain[-1].signature
    state = configuration.logs() / "runs" / f"{config.name}-{identity[: signature.SHORT]}.json"
    mirror = tracking.RunMirror(tracking.create_store(config.name), state, name=f"seed {config['seed']}", identity=identity)
    mirror.params(config.flat())
    mirror.tags({"signature": identity, "seed": config["seed"], "git_commit": tracking.git_commit(configuration.home())})
    mirror.follow(*curves(chain))
    mirror.log_artifacts(chain[-1].folder / "config.yaml")

    def follow() -> None:
        mirror.follow(*curves(chain))
        mirror.sync()

    follow()
    status = "KILLED"
    try:
        run(config, until=until, say=say, after=follow)
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        mirror.end(status)
        mirror.sync()
    return chain


def curves(chain: Sequence[Step]) -> list[tuple[Path, int]]:
    """The metric files of the stages, each with the optimizer steps before it."""
    found, before = [], 0
    for step in chain:
        found.append((step.folder / METRICS, before))
        before += (files.done(step.folder) or {}).get("steps", 0)
    return found


def train_step(config: configuration.Config, step: Step, say: Callable[[str], None]) -> None:
    """Train one stage whose parents are complete, and mark its folder done."""
    made = making.prepare(config, used_artefacts(step.stage), say=say)
    schedule = schedule_of(config, step.name)
    hardware = Hardware(**config["hardware"])
    step.folder.mkdir(parents=True, exist_ok=True)
    files.write_text(step.folder / "config.yaml", config.yaml())
    materials = Materials(
        folder=step.folder,
        folders={name: made[name].folder for name in made},
        parents=tuple(folder / WEIGHTS for folder in step.parents),
        seed=config["seed"],
    )
    identities = {name: item.signature for name, item in made.items()}
    cache = configuration.logs() / "cache"
    say(f"training {step.name} {step.signature[:7]}")
    stage, data = assemble(step.stage, declared(config, step.stage), schedule, hardware, materials, identities, cache)
    report = fit(stage, data, hardware, precision=config["precision"])
    if stage.trainer.is_global_zero:
        files.mark_done(step.folder, signature=step.signature, stage=step.name, **asdict(report))
    say(f"finished {step.name} {step.signature[:7]}: {summary(report.validation)} in {report.seconds:.0f} s")


def train_step_apart(config: configuration.Config, step: Step, say: Callable[[str], None]) -> None:
    """Train one stage in a process of its own, whose ranks Lightning starts by running the same command again.

    One job trains one stage: a second trainer in the same process would start its ranks anew while the first ones live.
    """
    making.prepare(config, used_artefacts(step.stage), say=say)
    files.write_text(step.folder / "config.yaml", config.yaml())
    command = [sys.executable, "-m", "exomni.train", str(step.folder / "config.yaml"), step.name]
    code = subprocess.run(command).returncode
    if code < 0:
        raise files.KilledError(f"{step.name}: its process was killed by signal {-code}")
    if code != 0 and (step.folder / NOT_FINITE).is_file():
        raise FloatingPointError(f"{step.name}: the loss is not finite; batch ids and losses are in {step.folder / NOT_FINITE}")
    if code != 0:
        raise ChildProcessError(f"{step.name}: its processes ended with exit code {code}; what they said stands above")


def main(config_path: str, name: str) -> None:
    """One rank of one stage: what `train_step_apart` starts."""
    import torch

    config = configuration.load(config_path)
    torch.set_num_threads(config["threads"])
    step = next(step for step in steps(config) if step.name == name)
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0
    train_step(config, step, print if first else lambda text: None)


def summary(validation: dict[str, dict[str, float]]) -> str:
    """Held-out losses of a stage before and after, in words."""
    start, end = validation.get("start", {}), validation.get("end", {})
    return ", ".join(f"{name} {start.get(name, float('nan')):.3f} -> {value:.3f}" for name, value in end.items())


if __name__ == "__main__":
    main(*sys.argv[1:])
