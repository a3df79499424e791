"""Distances on a mesh: values counted by hand, torchmetrics' lip vertex error, and plain NumPy on whole meshes."""

import math
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchmetrics.multimodal.lve import LipVertexError as ReferenceLipVertexError

from exomni import arkit
from exomni.head.base import REQUIRED_REGIONS, Head
from exomni.head.procedural import ProceduralHead
from exomni.metrics import vertices as module
from exomni.metrics.face import LipVertexError as LipVertexErrorOfFace
from exomni.metrics.vertices import (
    EmotionalVertexError,
    LipVertexError,
    MeanVertexError,
    UpperFaceDynamicsDeviation,
    squared_displacements,
)  # fmt: skip
from exomni.types import Clip

REGIONS = {"lips": [2, 3, 11, 29], "upper_face": [5, 6, 7], "eyelids": [7, 20]}
ALL = [LipVertexError, EmotionalVertexError, MeanVertexError, UpperFaceDynamicsDeviation]


def small_head(vertices: int = 30, seed: int = 0, **regions) -> Head:
    draw = np.random.default_rng(seed)
    ids = dict.fromkeys(REQUIRED_REGIONS, []) | REGIONS | regions
    return Head(
        neutral=draw.normal(size=(vertices, 3)) * 50,
        triangles=np.zeros((1, 3)),
        deltas=draw.normal(size=(52, vertices, 3)) * 5,
        regions={name: np.array(found, int) for name, found in ids.items()},
    )


def four_vertices(**regions) -> SimpleNamespace:
    """jawOpen moves vertex 1 by 5 mm and vertex 2 by 1 mm, the brow vertex 3 by 2 mm, a blink vertex 0 by 7 mm."""
    deltas = np.zeros((52, 4, 3), np.float32)
    deltas[arkit.INDEX["jawOpen"], 1] = (0, -3, 4)
    deltas[arkit.INDEX["jawOpen"], 2] = (0, -1, 0)
    deltas[arkit.INDEX["browInnerUp"], 3] = (0, 2, 0)
    deltas[arkit.INDEX["eyeBlinkLeft"], 0] = (2, 3, 6)
    neutral = np.array([[0, 100, 0], [0, -20, 0], [0, 0, 0], [0, 80, 0]], np.float32)
    ids = {"lips": [1, 2], "upper_face": [3], "eyelids": [0]} | regions
    return SimpleNamespace(deltas=deltas, neutral=neutral, regions={name: np.array(own, int) for name, own in ids.items()})


def face_with(frames: int = 2, **channels) -> Clip:
    face = np.zeros((frames, 52), np.float32)
    for name, value in channels.items():
        face[:, arkit.INDEX[name]] = value
    return Clip("clip", face)


def score(metric, *pairs: tuple[Clip, Clip]) -> dict[str, float]:
    for pair in pairs:
        metric.update(*pair)
    return {name: value.item() for name, value in metric.compute().items()}


def random_pairs(lengths=(12, 30), seed: int = 1) -> list[tuple[Clip, Clip]]:
    draw = np.random.default_rng(seed)
    return [tuple(Clip("clip", draw.random((frames, 52), np.float32)) for _ in range(2)) for frames in lengths]


def test_lip_vertex_error_equals_torchmetrics():
    assert LipVertexErrorOfFace is LipVertexError
    head = small_head()
    reference, metric = ReferenceLipVertexError(mouth_map=REGIONS["lips"]), LipVertexError(head=head)
    for guess, truth in random_pairs():
        reference.update(torch.from_numpy(head.vertices(guess.face)), torch.from_numpy(head.vertices(truth.face)))
        metric.update(guess, truth)
    assert metric.compute()["lve_squared"].item() == pytest.approx(reference.compute().item(), rel=1e-5)


def reference_scores(head: Head, pairs) -> dict[str, float]:
    """Every score from whole meshes, a sequence at a time, as a reader of the definitions would write it down."""
    lips, eyes, upper = REGIONS["lips"], [5, 6, 7, 20], REGIONS["upper_face"]
    frames, sequences = {name: [] for name in ("lve", "eve", "no_blinks", "mve", "mve_max")}, []
    for guess, truth in pairs:
        meshes = [head.neutral + np.einsum("tc,cvx->tvx", clip.face.astype(float), head.deltas) for clip in (guess, truth)]
        distance = np.linalg.norm(meshes[0] - meshes[1], axis=-1)
        frames["lve"] += list(distance[:, lips].max(1))
        frames["eve"] += list(distance[:, eyes].max(1))
        frames["mve"] += list(distance.mean(1))
        frames["mve_max"] += list(distance.max(1))
        open_eyes = [clip.face * ~np.isin(arkit.NAMES, arkit.BLINKS) for clip in (guess, truth)]
        moved = np.einsum("tc,cvx->tvx", (open_eyes[0] - open_eyes[1]).astype(float), head.deltas)
        frames["no_blinks"] += list(np.linalg.norm(moved, axis=-1)[:, eyes].max(1))
        spread = [np.sum((mesh - head.neutral)[:, upper] ** 2, axis=2).std(axis=0).mean() for mesh in meshes]
        sequences.append(spread[1] - spread[0])
    squares = {name: np.mean(np.square(frames[name])) for name in ("lve", "eve")}
    mean = {name: np.mean(values) for name, values in frames.items()}
    return {
        "lve": mean["lve"], "lve_squared": squares["lve"], "eve": mean["eve"], "eve_squared": squares["eve"],
        "eve_without_blinks": mean["no_blinks"], "mve": mean["mve"], "mve_max": mean["mve_max"],
        "fdd": np.mean(sequences), "fdd_absolute": np.mean(np.abs(sequences)),
    }  # fmt: skip


@pytest.mark.parametrize("chunk_bytes", [32 << 20, 24 * 52 * 4, 1])  # all at once, four vertices at a time, one
def test_all_equal_plain_numpy_in_chunks_of_any_size(monkeypatch, chunk_bytes):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    head, pairs = small_head(), random_pairs((12, 30, 7))
    found = {}
    for cls in ALL:
        found |= score(cls(head=head), *pairs)
    found["mve_max"] = score(MeanVertexError(head=head, reduce="max"), *pairs)["mve"]
    assert found == pytest.approx(reference_scores(head, pairs), rel=1e-6)


def test_lip_vertex_error_by_hand():
    guess = face_with(jawOpen=[1.0, 0.4])  # vertex 1 is off by 5 and 2 mm
    assert score(LipVertexError(head=four_vertices()), (guess, face_with())) == pytest.approx({"lve": 3.5, "lve_squared": 14.5})


def test_emotional_vertex_error_by_hand():
    guess = face_with(eyeBlinkLeft=[1.0, 0.0], browInnerUp=0.5, jawOpen=1.0)  # 7 mm, then the brow's 1 mm
    found = score(EmotionalVertexError(head=four_vertices()), (guess, face_with()))
    assert found == pytest.approx({"eve": 4.0, "eve_squared": 25.0, "eve_without_blinks": 1.0})


def test_mean_vertex_error_by_hand():
    guess = face_with(jawOpen=[1.0, 0.5])
    assert score(MeanVertexError(head=four_vertices()), (guess, face_with()))["mve"] == pytest.approx((6 / 4 + 3 / 4) / 2)
    maximum = MeanVertexError(head=four_vertices(), reduce="max")
    assert score(maximum, (guess, face_with()))["mve"] == pytest.approx(3.75)
    assert maximum.details()["reduce"] == "max"
    with pytest.raises(ValueError, match="reduce is 'median'"):
        MeanVertexError(head=four_vertices(), reduce="median")


def test_dynamics_deviation_by_hand():
    """The brow's squared displacements 0 and 4 mm^2 deviate by 2 from their mean, 0 and 1 by 0.5, and of a still face by 0."""
    metric, truth = UpperFaceDynamicsDeviation(head=four_vertices()), face_with(browInnerUp=[0.0, 1.0])
    assert score(metric, (face_with(5, browInnerUp=0.7), truth)) == pytest.approx({"fdd": 2.0, "fdd_absolute": 2.0}, abs=1e-6)
    livelier = face_with(browInnerUp=[1.0, 0.0]), face_with(browInnerUp=[0.5, 0.0])
    assert score(metric, livelier) == pytest.approx({"fdd": 0.25, "fdd_absolute": 1.75}, abs=1e-6)
    metric.update(face_with(0), truth)  # an answer without a face has no dynamics
    assert metric.details()["counts"]["fdd"] == 2


def test_lengths_may_differ_for_dynamics_alone():
    assert [cls.frame_by_frame for cls in ALL] == [True, True, True, False]
    for cls in ALL[:3]:
        with pytest.raises(ValueError, match="13 face frames and the truth 10"):
            cls(head=small_head()).update(face_with(13), face_with(10))


@pytest.mark.parametrize(
    ("cls", "regions", "said"),
    [
        (LipVertexError, {"lips": []}, "'lips'"),
        (UpperFaceDynamicsDeviation, {"upper_face": []}, "'upper_face'"),
        (EmotionalVertexError, {"eyelids": [], "upper_face": []}, "'eyelids' and 'upper_face'"),
        (EmotionalVertexError, {"eyelids": []}, "'eyelids'"),
    ],
)
def test_a_head_without_the_region_has_no_score_and_says_why(cls, regions, said):
    metric = cls(head=four_vertices(**regions))
    found = score(metric, (face_with(jawOpen=1.0), face_with()))
    assert all(math.isnan(value) for value in found.values())
    assert set(metric.absent().values()) == {f"this head names no vertices of {said}"}
    assert metric.details()["mesh_units"] == {}


def test_scores_in_the_meshs_own_units_and_at_a_stated_height():
    head, pair = four_vertices(), (face_with(jawOpen=1.0), face_with())
    head.millimetres_per_unit = 10.0  # a mesh in centimetres
    metric = LipVertexError(head=head)
    assert score(metric, pair)["lve"] == pytest.approx(5)
    details = metric.details()
    assert details["mesh_units"] == pytest.approx({"lve": 0.5, "lve_squared": 0.25})
    assert (details["head_height_mm"], details["millimetres_per_mesh_unit"]) == (120.0, 10.0)
    taller = LipVertexError(head=head, head_height_mm=240)
    assert score(taller, pair) == pytest.approx({"lve": 10, "lve_squared": 100})
    assert taller.details()["head_height_mm"] == 240
    assert taller.details()["mesh_units"] == pytest.approx({"lve": 0.5, "lve_squared": 0.25})
    with pytest.raises(ValueError, match="head_height_mm is 0"):
        LipVertexError(head=head, head_height_mm=0)


def test_a_spoilt_prediction_is_told():
    for cls in ALL:
        metric = cls(head=small_head())
        metric.update(Clip("a", np.full((4, 52), np.nan, np.float32)), face_with(4))
        assert set(metric.absent().values()) == {"a clip holds NaN or infinite values"}


def test_the_built_in_head_has_every_region():
    head, pairs = ProceduralHead(), random_pairs((10,))
    for cls in ALL:
        metric = cls(head=head)
        found = score(metric, *pairs)
        assert all(math.isfinite(value) and value != 0 for value in found.values())
        assert 200 < metric.details()["head_height_mm"] < 450


def test_memory_is_bounded_on_a_large_head():
    """26 719 vertices in 600 frames: 385 MB of float64 displacements, of which a few chunks of 32 MB live at a time."""
    deltas = np.zeros((52, 26_719, 3), np.float32)
    deltas[0] = 1.0
    coefficients = np.zeros((600, 52))
    coefficients[:, 0] = 2.0
    tracemalloc.start()
    seen = sum(part.shape[1] for part in squared_displacements(coefficients, deltas) if np.allclose(part, 12.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == 26_719 and peak < 4 * module.CHUNK_BYTES
