"""The way from coefficients and sound to SyncNet's scores, on a real head."""

import warnings

import numpy as np
import pytest
from examples import block

from exomni import arkit
from exomni.clock import AUDIO_HZ, FACE_HZ
from exomni.head.npz import NpzHead
from exomni.head.procedural import ProceduralHead

pytest.importorskip("pyvista", reason="rendering needs the extra `render`")

SECONDS = 2  # 50 frames; SyncNet asks for 36
ICT_MILLIMETRES = 8.0  # a unit of the file: the head is then about 230 mm high


def speech(seconds: int) -> tuple[np.ndarray, np.ndarray]:
    """Sound in syllables, 4 a second, and a jaw that opens with them: (S,) and (30 seconds, 52)."""
    generator = np.random.default_rng(0)
    opening = np.sin(np.pi * 4 * np.arange(seconds * FACE_HZ) / FACE_HZ) ** 2
    face = np.zeros((len(opening), arkit.COUNT), np.float32)
    face[:, arkit.INDEX["jawOpen"]] = 0.5 * opening
    loudness = np.repeat(opening, AUDIO_HZ // FACE_HZ + 1)[: seconds * AUDIO_HZ]
    return (0.5 * loudness * generator.uniform(-1, 1, len(loudness))).astype(np.float32), face


def real_head(shared) -> NpzHead:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this head has no tongue
        return NpzHead(path=str(shared / "assets/faces/ict_arkit52_face.npz"), millimetres_per_unit=ICT_MILLIMETRES)


@pytest.fixture
def random_asset(tmp_path, monkeypatch):
    """Random weights where `exomni assets get syncnet` puts the published ones."""
    from benchmarks.sync import random_weights
    from exomni import assets, files
    from exomni.metrics.sync.syncnet_network import FILE

    monkeypatch.setenv("EXOMNI_ASSETS", str(tmp_path))
    path = tmp_path / "syncnet" / FILE
    path.parent.mkdir()
    random_weights(path)
    files.write_json(path.with_name(assets.RECORD), {"files": [{"path": FILE, "size": path.stat().st_size}]})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["procedural", "real"])
def test_the_lines_of_the_readme_score_a_face(kind, random_asset, request):
    head = ProceduralHead() if kind == "procedural" else real_head(request.getfixturevalue("shared"))
    audio, face = speech(SECONDS)
    said = {"head": head, "audio": audio, "face": face}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*nothing moves under")
        exec(compile(block("from exomni.metrics.sync import SyncNetScore"), "docs/scores.md", "exec", dont_inherit=True), said)
    found = said["score"].compute()
    comment = block("from exomni.metrics.sync import SyncNetScore").rpartition("#")[2]
    assert list(found) == [name.strip() for name in comment.split(",")]
    assert (found["n_clips"], found["n_invalid"]) == (1, 0)
    assert found["sync_d"] > 0 and abs(found["offset"]) <= 15
    (clip,) = said["score"].clips
    assert clip.windows == SECONDS * 25 - 5


@pytest.mark.slow
@pytest.mark.parametrize("view", ["emotalk", "claire"])
def test_real_head_has_a_mouth_that_opens_and_nothing_else_moves(shared, view):
    from exomni.render import Renderer
    from exomni.render.crop import analytic_crops

    head = real_head(shared)
    face = np.zeros((2, arkit.COUNT), np.float32)
    face[1, arkit.INDEX["jawOpen"]] = 0.5
    with Renderer(head, size=512, view=view) as renderer:
        (closed, opened), *_ = analytic_crops(renderer, face, fps=25)
    assert closed.shape == (224, 224, 3)
    rows, columns = np.nonzero((closed.min(axis=2) > 60) & (opened.max(axis=2) < 30))
    assert len(rows) > 100, "a dark mouth"
    assert abs(columns.mean() - 112) < 3 and 100 < rows.mean() < 150, "where SyncNet was trained to see it"
    changed = np.abs(closed.astype(int) - opened).max(axis=2) > 40
    assert changed[:75].mean() < 0.01 < changed[75:].mean(), "eyes and forehead stay"
