"""The examples of README, `docs/` and `--help`: what a test does with each, and what the command must say then.

A command that is not in the table fails `test_readme.py`, and so does a line of the table that nobody shows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exomni import cli

REPOSITORY = Path(__file__).resolve().parents[1]
GENERATED = "code-map.md"
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted(path for path in (REPOSITORY / "docs").glob("*.md") if path.name != GENERATED),
]
TEXTS = {path.relative_to(REPOSITORY).as_posix(): path.read_text() for path in PAGES}
TEXT = "\n".join(TEXTS.values())
FENCES = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)  # (language, text)
PROSE = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
SPANS = list(dict.fromkeys(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE)))
PROGRAMS = ("exomni ", "make ", "python ")
COMMANDS = list(  # in blocks and within sentences
    dict.fromkeys(
        [
            *(
                line.split("  #")[0].strip()
                for language, text in FENCES
                if language in ("", "bash")
                for line in text.splitlines()
                if line.startswith(PROGRAMS)
            ),
            *(span for span in SPANS if span.startswith(PROGRAMS)),
        ]
    )
)
HELP = {  # command -> its example in `exomni COMMAND --help`
    name: parser.epilog.removeprefix("example: ")
    for action in cli.build_parser()._actions
    if action.dest == "command"
    for name, parser in action.choices.items()
}
SHOWN = dict.fromkeys(command for command in [*COMMANDS, *HELP.values()] if not command.startswith("make "))


@dataclass(frozen=True)
class Example:
    """What becomes of one example in `test_from_a_clone.py`."""

    said: str = ""  # a regular expression that is found in the output
    small: str = ""  # words added for the test, so that it takes seconds and needs no weights
    fresh: bool = False  # in a process of its own: the clone's package is no longer the one under test
    elsewhere: str = ""  # why it does not run there; the test that runs it, if one can


DOWNLOAD = "it downloads; tests/assets/test_assets_command.py gets from a server of its own"
CLUSTER = "it needs a cluster; tests/artifacts/test_slurm.py and tests/artifacts/test_ray.py start one of this host"
TESTS = "the tests run it themselves"
PLUGIN = "it installs a package; tests/test_examples_folder.py does so in a folder of its own"
SERVER = "it serves until it is stopped; shows_the_runs in tests/test_from_a_clone.py starts one and asks it"
SCORES = r"(?s)wrote \S+result\.json.*\n +sync_c .*ceiling .* floor .*\ncontrol another clip's answer: "
PLAN = "--dry-run"
BENCH = (
    "layers=2 width=32 heads=4 kv_heads=2 head_dim=8 feed_forward=48 units=50 text_vocab=40 text_tokens=3 steps=6 draws=5 "
    "faces=[] full_size=false"
)
EXAMPLES = {  # in the order in which they run
    "exomni --help": Example(r"(?s)train +train one run.*parity +compare the model with numbers"),
    "exomni new --help": Example(r"example: exomni new fusion film"),
    "exomni train experiments/nano.yaml": Example(r"dialogue, tqgf, seed 0: val/loss_face \d"),
    "exomni evaluate experiments/nano.yaml": Example(SCORES),
    'exomni generate experiments/nano.yaml --text "What color is a lemon?" --out answer': Example(
        r"(?s)answer\.csv: (\d+) frames at 30 fps became \d+ at 60 fps by linear interpolation\n"
        r"answer/answer\.csv\n.*answer/answer\.wav\n.*answer/answer\.mp4\n$"
    ),
    'exomni generate experiments/nano.yaml --text "What color is a lemon?"': Example(r"answer/answer\.wav\n"),
    'exomni generate experiments/nano.yaml --text "What color is a lemon?" --formats text,wav,csv --timecode-fps 30': Example(
        r"answer/answer\.txt\nanswer/answer\.wav\nanswer/answer\.csv\n$"
    ),
    "exomni show experiments/nano.yaml model.face_fusion=concat": Example(r"name: concat +# command line"),
    "exomni data stats builtin": Example(r"task +side +samples +hours.*\nasr +prompt +\d+ +\d(?s:.*)s2sf +response +\d+ +\d"),
    "exomni list": Example(r"(?s)codec:\n  melunit .*fusion:\n.*  tqgf .*transcriber:\n.*  whisper "),
    "exomni list fusion": Example(r"(?s)fusion:\n.*  tqgf .*options: depth: int"),
    "exomni list exporter": Example(r"(?s)exporter:\n  csv .*glb .*json .*mp4 .*npz .*text .*wav "),
    "exomni diff nano fusion/concat": Example(r"model\.face_fusion\.name: tqgf -> concat\n"),
    "exomni doctor": Example(r"ok +torch \d(?s:.*)GiB free for "),
    "exomni assets list": Example(
        r"name +present +size +licence.*\n(?s:.*)\nwhisper-tiny\.en +\S.* Apache-2\.0 .*\n(?s:.*)syncnet "
    ),
    "exomni assets get whisper-tiny.en": Example(elsewhere=DOWNLOAD),
    "exomni assets get whisper-tiny.en smollm2-135m": Example(elsewhere=DOWNLOAD),
    "exomni assets get syncnet --accept-licence": Example(elsewhere=DOWNLOAD),
    "exomni show experiments/ex_omni.yaml --parameters": Example(r"\ntotal +9,595,688,247 "),
    "python examples/inside_a_run.py experiments/nano.yaml": Example(
        r"(?s)dialogue, tqgf, seed 0: \w+ in .*val/loss_face .*blendshape_decoder +\d.*TQGF\("
    ),
    "python -m benchmarks codec": Example(r"units_in_use +\d+\n(?s:.*)real_time_factor +\d(?s:.*)wer"),
    "python -m benchmarks generate --json out.json": Example(
        r"greedy_units_equal +True\n(?s:.*)share_outside_backbone +0\.\d", BENCH
    ),
    "python -m benchmarks sync": Example(elsewhere="minutes; tests/benchmarks/test_bench_sync.py runs it at its least size"),
    "python docs/pictures.py ANSWERS TRUTHS": Example(
        elsewhere="tests/render/test_docs_pictures.py runs it with a clip of its own"
    ),
    "python docs/code_map.py": Example(elsewhere="tests/test_docs.py compares what it writes"),
    "python -m pytest tests/fusion": Example(elsewhere=TESTS),
    "python -m pytest tests/ablation": Example(elsewhere=TESTS),
    "python -m pip install --no-deps --no-build-isolation examples/exomni-fusion-film": Example(elsewhere=PLUGIN),
    "exomni train examples/exomni-fusion-film/experiments/film_gate.yaml": Example(elsewhere=PLUGIN),
    "exomni parity shared/parity": Example(elsewhere="tests/parity/test_parity.py runs it where its numbers are"),
    "exomni parity DIR": Example(elsewhere="tests/parity/test_parity.py runs it where its numbers are"),
    'exomni generate experiments/ex_omni.yaml model.released=DIR model.compat=official --text "Hello"': Example(
        elsewhere="tests/model/test_official.py runs it with a small model in the release's layout"
    ),
    "exomni train experiments/nano.yaml model.face_fusion.causal_chunk=10 model.blendshape_decoder.frame_clock=exact": Example(
        r"(?s)reused speech_face\.units, seed 0 \w+ .*finished nano, seed 0 in .*dialogue, tqgf, seed 0: val/loss_face \d"
    ),
    "exomni evaluate experiments/nano.yaml --suite builtin": Example(SCORES),
    "exomni evaluate experiments/nano.yaml --suite builtin --face-model energy": Example(SCORES),
    "exomni evaluate experiments/nano.yaml "
    "'evaluation.metrics=[sync, lve, {name: mve, reduce: max}, fdd, eve, jaw_lag, rest_closure]'": Example(
        r"(?s)\n +lve .*\n +eve .*\n +fdd .*\n +jaw_lag .*\n +mve .*\n +rest_closure "
    ),
    "exomni evaluate FOLDER --truth FOLDER_OF_TRUE_FACES": Example(r"(?s)clips: files 3\n.*\n +mouth_rmse +0\.0000 "),
    "exomni evaluate FOLDER --suite files_syncnet": Example(
        r"(?s)sync by syncnet.*no ceiling stands beside sync_c.*\n +sync_c +\S+ +n=1 ",
        "weights=null crop=analytic size=64 limit=1 shifts=[]",
    ),
    "exomni evaluate experiments/ex_omni.yaml "
    "--suite alpacaeval_s2f --suite alpacaeval_t2f source=FOLDER_OF_VOICEBENCH": Example(
        r"(?s)alpacaeval_s2f: nano seed 0; .*speech_to_face/sync_c .*alpacaeval_t2f: nano seed 0; .*text_to_face/sync_c ",
        "expert=sync_expert transcriber=parrot mos=none",  # and nano in the paper's place
    ),
    "exomni ablate ablations/nano_fusion.yaml": Example(r"(?s)teacher-forced.*per ↓.*another clip's answer", fresh=True),
    "exomni ablate ablations/nano_fusion.yaml --executor 'slurm partition=gpu account=speech time=600'": Example(
        elsewhere=CLUSTER
    ),
    "exomni ablate ablations/nano_fusion.yaml --executor cluster.yaml": Example(elsewhere=CLUSTER),
    "exomni ablate ablations/nano_fusion.yaml --executor 'ray address=http://head:8265'": Example(elsewhere=CLUSTER),
    "exomni ablate ablations/nano_fusion.yaml --executor 'ray num_cpus=16 num_gpus=2'": Example(elsewhere=CLUSTER),
    "exomni list executor": Example(r"(?s)executor:\n  local .*  ray .*  slurm .*options: partition: "),
    "exomni status": Example(r"nano_fusion: (\d+)/\1 complete\n"),
    "exomni status nano_fusion": Example(r"nano_fusion: (\d+)/\1 complete\n(?s:.*)  tqgf, seed 0: complete"),
    "exomni explain 3f2a9c1": Example(r"(?s)recipe:\n.*precision: 32-true\n.*inputs:\n"),
    'exomni adopt 3f2a9c1 --why "renamed a variable"': Example(
        elsewhere="no source was edited; tests/artifacts/test_lifecycle.py edits one and adopts it"
    ),
    "exomni gc": Example(r"artifacts that no work refers to, \d+\.\d MB"),
    "exomni pack nano_fusion": Example(r"packed \d\d artifacts into nano_fusion\.tar\.gz\n$"),
    "exomni reproduce nano_fusion": Example(r"ablate.*nano_fusion(?s:.*)made at commit "),
    "exomni unpack nano_fusion.tar.gz": Example(r"\d+ new files from nano_fusion\.tar\.gz\n$"),
    "exomni report nano_fusion --format latex": Example(r"(?s)\\begin\{tabular\}.*hidden\\_only"),
    "exomni ablate nano_fusion transcriber=whisper": Example(
        r"hidden_only, seed 0: speech_face\.joint \w+ \(complete\), dialogue \w+ \(complete\), scores \w+; about", PLAN
    ),
    "exomni ablate nano_fusion seeds=[3,4]": Example(r"8 cells \(4 rows x 2 seeds\)", PLAN),
    "exomni ablate ablations/fusion.yaml --dry-run": Example(r"4 cells \(4 rows x 1 seeds\)(?s:.*)nothing of ex_omni has run"),
    "exomni ablate ablations/nano_generator.yaml": Example(r"18 cells \(6 rows x 3 seeds\)", PLAN),
    "exomni ablate ablations/nano_face_gradient.yaml": Example(r"6 cells \(2 rows x 3 seeds\)", PLAN),
    "exomni ablate ablations/nano_streaming.yaml": Example(r"12 cells \(4 rows x 3 seeds\)", PLAN),
    "exomni data check path/to/folder": Example(r"\d+ samples, all in order\n$"),
    "exomni train experiments/nano.yaml corpus.name=manifest corpus.path=path/to/folder": Example(
        r"dialogue, tqgf, seed 0: val/loss_face \d"
    ),
    "exomni train experiments/mini.yaml --until speech_to_text": Example(
        r"speech_to_text, seed 0: val/loss_speech_alignment \d.*val/loss_text \d", "--over smoke"
    ),
    "exomni new fusion film": Example(
        r"wrote \S+exomni/fusion/film\.py\nwrote \S+experiments/fusion/film\.yaml\nwrote \S+tests/fusion/test_film\.py\n$"
    ),
    "exomni train experiments/fusion/film.yaml": Example(r"speech_face\.joint, film, seed 0: val/loss_face \d", fresh=True),
    "exomni ablate ablations/mine.yaml --dry-run": Example(r"2 cells \(2 rows x 1 seeds\)", fresh=True),
    "exomni ablate ablations/mine.yaml": Example(
        r"(?s)reused speech_to_text.*Does FiLM do better than concatenation\?", fresh=True
    ),
    "exomni report ablations/mine.yaml --format latex": Example(r"(?s)\\begin\{tabular\}.*film.*concat", fresh=True),
    "exomni ui": Example(elsewhere=SERVER),
    "exomni ui --port 5001": Example(elsewhere=SERVER),
}


def block(start: str) -> str:
    """The block of README or `docs/` that begins so."""
    return next(text for _, text in FENCES if text.startswith(start))


def check_shown(shown: str, printed: str, same: Callable[[str], str] = str.rstrip) -> None:
    """Every line of a block was printed, in this order. `...` stands for the end of a line, or for other lines.

    same: brings both to what must agree.
    """
    rest = iter(printed.splitlines())
    for line in shown.splitlines():
        known, cut, _ = line.partition("...")
        if known.strip():
            wanted = same(known)
            assert any((same(found)[: len(wanted)] if cut else same(found)) == wanted for found in rest), line
