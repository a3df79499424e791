"""The README's pictures are made by the command that it names."""

import runpy

import numpy as np
import pytest

from exomni import arkit
from exomni.evaluation.store import write_answers
from exomni.types import Clip

pytest.importorskip("pyvista", reason="rendering needs the extra `render`")
MOST_BYTES = 150_000


@pytest.fixture
def pictures(request):
    return runpy.run_path(str(request.config.rootpath / "docs" / "pictures.py"))


def test_pictures_are_made_from_an_answer_and_its_truth(pictures, tmp_path):
    from PIL import Image

    face = np.zeros((30, arkit.COUNT), np.float32)
    face[:, arkit.INDEX["jawOpen"]] = np.linspace(0, 1, 30)
    folders = [tmp_path / "answers", tmp_path / "truths"]
    for folder in folders:
        write_answers(folder, [Clip("a", face)])
    pictures["main"].__globals__["FOLDER"] = tmp_path
    pictures["main"](list(map(str, folders)))
    sizes = {}
    for name in ("head.png", "faces.png"):
        assert (tmp_path / name).stat().st_size < MOST_BYTES
        with Image.open(tmp_path / name) as image:
            sizes[name] = image.size
    assert sizes == {"head.png": (6 * 160, 28 + 160), "faces.png": (6 * 160, 28 + 3 * (28 + 160))}


def test_without_a_clip_it_says_how(pictures):
    with pytest.raises(SystemExit, match="python docs/pictures.py"):
        pictures["main"]([])
