"""What the fake runs make, in no time; job processes import this. Scores can be worked out by hand.

The environment says what goes wrong: FAKE_FAIL, FAKE_DIVERGE and FAKE_HANG name the `what` of one recipe.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

MEANS = {"tqgf": 7.0, "concat": 6.0, "tokens_only": 7.0, "hidden_only": 4.0}
SEED_STEPS = {"tqgf": 0.1, "concat": 0.12, "tokens_only": 0.05, "hidden_only": 0.1}  # what a seed adds: another in every row
CLIPS = [f"clip{place:02}" for place in range(12)]
NAMES = (
    "sync_c",
    "text_to_face/sync_c",
    "text_to_face/per",
    "text_to_face/speech_wer",
    "lve",
    "blink_rate",
    "text_to_face/lve_dtw",
    "jitter",
)
FACTS = {
    "judges": {
        "expert": {"name": "sync_expert", "overlap": "valid", "signature": "abcdef0123"},
        "recogniser": {"backend": "ctc", "usable": True, "signature": "1234567890"},
        "transcriber": {"backend": "none", "options": {"name": "none"}, "usable": False},
    },
    "outputs": {name.rpartition("/")[2].removesuffix("_dtw"): {"pool": "ratio"} for name in NAMES},
}
CONTROLS = {
    "teacher": {"sync_c": 9.5, "lve": 0.0, "jitter": 0.2, "blink_rate": 14.0},
    "teacher (codec audio)": {"sync_c": 9.0, "lve": 0.0, "text_to_face/sync_c": 8.5, "text_to_face/per": 0.18},
    "teacher (other speed)": {"text_to_face/lve_dtw": 0.5},
    "mean face": {"sync_c": 0.25, "lve": 12.0, "jitter": 0.0, "text_to_face/sync_c": 0.3, "text_to_face/lve_dtw": 12.0},
    "resting face": {"sync_c": 0.2, "lve": 14.0, "text_to_face/lve_dtw": 14.0},
    "another clip's answer": {"lve": 13.0, "text_to_face/lve_dtw": 12.5},
    "shuffled audio": {"sync_c": 0.5, "text_to_face/sync_c": 0.6, "text_to_face/per": 0.95},
    "silence": {"text_to_face/per": 1.0},
}


def begin(recipe: dict, folder: Path) -> None:
    """What is common to all builds: it may go wrong, and what does not is noted in made.log among the outputs."""
    what, logs = recipe["what"], Path(os.environ["EXOMNI_LOGS"])
    if os.environ.get("FAKE_FAIL") == what:
        raise RuntimeError(f"told to fail\nat {what}")
    if os.environ.get("FAKE_DIVERGE") == what:
        raise FloatingPointError(f"{what}: the loss is not finite at step 7")
    if os.environ.get("FAKE_HANG") == what:
        scratch = logs / ".hanging"
        scratch.write_text(str(os.getpid()))
        scratch.rename(logs / "hanging")
        time.sleep(3600)
    with (logs / "made.log").open("a") as log:
        log.write(f"{folder.parent.name} {what}\n")


def basis(recipe: dict, inputs: dict, folder: Path, progress) -> dict:
    """Corpus, codec or sync expert."""
    begin(recipe, folder)
    return {}


def stage(recipe: dict, inputs: dict, folder: Path, progress) -> dict:
    """A stage of three steps."""
    begin(recipe, folder)
    lines = [{"step": step, "time": 1.0 + step, "metrics": {"train/loss_face": 1 / (step + 1)}} for step in range(3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"steps": 3, "validation": {"start": {"val/loss": 2.0}, "end": {"val/loss": 1.0}}}


def scores(recipe: dict, inputs: dict, folder: Path, progress) -> dict:
    """The scores of a run by its fusion and seed. What controls score makes every metric tell."""
    begin(recipe, folder)
    mean = MEANS[recipe["fusion"]] + SEED_STEPS[recipe["fusion"]] * recipe["seed"]
    found = {
        "sync_c": mean,
        "text_to_face/sync_c": mean - 1,
        "text_to_face/per": 0.3 - 0.01 * recipe["seed"],
        "lve": 10 - mean,
        "text_to_face/lve_dtw": 11 - mean,
        "jitter": 0.1,
        "blink_rate": 12.0,
    }
    absent = {"text_to_face/speech_wer": "the transcriber is none"}
    write(folder, {**FACTS, "scores": found, "errors": errors(found), "absent": absent}, tallies(found))
    return {}


def controls(recipe: dict, inputs: dict, folder: Path, progress) -> dict:
    """Ceilings and floors; the teacher of the second corpus is better."""
    begin(recipe, folder)
    rows = {name: dict(row) for name, row in CONTROLS.items()}
    rows["teacher"]["sync_c"] += recipe["corpus"]
    own = {name: errors(row) for name, row in rows.items()}
    write(folder, {**FACTS, "rows": rows, "errors": own}, {name: tallies(row) for name, row in rows.items()})
    return {}


def figures(recipe: dict, inputs: dict, folder: Path, progress) -> dict:
    """A file that names whom it shows."""
    begin(recipe, folder)
    (folder / "plots").mkdir()
    (folder / "plots" / "curves.txt").write_text(",".join(sorted(recipe["rows"])))
    return {}


def write(folder: Path, body: dict, clips: dict) -> None:
    (folder / "scores.json").write_text(json.dumps(body))
    (folder / "clips.json").write_text(json.dumps({"tallies": clips}))


def errors(found: dict) -> dict:
    """The standard errors are a hundredth."""
    return dict.fromkeys(found, 0.01)


def tallies(found: dict) -> dict:
    """Every clip has the score, a little up and down in turn, so that it has a spread."""
    return {
        name: {clip: [value + (0.01 if place % 2 else -0.01), 1] for place, clip in enumerate(CLIPS)}
        for name, value in found.items()
    }
