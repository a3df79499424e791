"""Builds that take no time: what the tests of the artifact graph make."""

import hashlib
import os
import signal
import time
from pathlib import Path


def write(recipe, inputs, folder, progress):
    """A file that holds the recipe's text after the texts of all inputs; counts how often it ran in `recipe["log"]`."""
    parts = [(place / "text.txt").read_text() for place in inputs.values() if place]
    (folder / "text.txt").write_text("".join([*parts, recipe.get("text", "")]))
    note(recipe)
    progress(1, 1)
    return {"letters": len(recipe.get("text", ""))}


def note(recipe):
    if "log" in recipe:
        with Path(recipe["log"]).open("a") as file:
            file.write(f"{recipe.get('text', '')}\n")


def fail(recipe, inputs, folder, progress):
    raise ValueError("this one never works")


def diverge(recipe, inputs, folder, progress):
    raise FloatingPointError("the loss is not finite at step 3")


def full_disk(recipe, inputs, folder, progress):
    """Fails for want of space until the file `recipe["cure"]` is there."""
    if not Path(recipe["cure"]).exists():
        raise OSError(28, "No space left on device")
    return write(recipe, inputs, folder, progress)


def out_of_memory(recipe, inputs, folder, progress):
    raise MemoryError("too large")


def hold(recipe, inputs, folder, progress):
    """Says that it has begun by a line in `recipe["log"]`, then waits until the file `recipe["release"]` is there."""
    note(recipe)
    ticks = 0
    while not Path(recipe["release"]).exists():
        ticks += 1
        progress(ticks, ticks + 1)
        time.sleep(0.02)
    return write({"text": recipe["text"]}, inputs, folder, progress)


def see_gpus(recipe, inputs, folder, progress):
    """Writes which GPUs it sees, and stays a moment so that others run beside it."""
    log = Path(recipe["log"])
    with log.open("a") as file:
        file.write(f"+{os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    time.sleep(0.3)
    with log.open("a") as file:
        file.write(f"-{os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    (folder / "text.txt").write_text("")


def kill_itself(recipe, inputs, folder, progress):
    os.kill(os.getpid(), signal.SIGKILL)


def resume(recipe, inputs, folder, progress):
    """Gets one step further with every attempt, and is killed before the third."""
    state = folder / "state.txt"
    steps = int(state.read_text()) if state.exists() else 0
    state.write_text(str(steps + 1))
    if steps < 2:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "text.txt").write_text(f"{steps} attempts before")


def write_private(recipe, inputs, folder, progress):
    """As a writer does that goes by way of a private temporary file."""
    path = folder / "text.txt"
    path.touch(mode=0o600)
    path.write_text("secret")


def resume_here(recipe, inputs, folder, progress):
    (folder / "text.txt").write_text(f"{(folder / 'state.txt').read_text()} attempts before")


def draw_slowly(recipe, inputs, folder, progress):
    """Numbers that follow from the recipe and all inputs, a step at a time; goes on where an interrupted attempt ended."""
    state = folder / "state.txt"
    steps = state.read_text().split() if state.exists() else []
    seed = [recipe["text"], *((place / "text.txt").read_text() for place in inputs.values())]
    while len(steps) < recipe["steps"]:
        time.sleep(recipe["seconds"])
        steps.append(hashlib.sha256("".join([*seed, *steps[-1:]]).encode()).hexdigest()[:8])
        draft = folder / "state.new"
        draft.write_text("\n".join(steps))
        draft.replace(state)
        progress(len(steps), recipe["steps"])
    (folder / "text.txt").write_text(f"{recipe['text']} {steps[-1]}\n")
