"""The pictures of the README, made again: python docs/pictures.py lightning_logs/evaluations/ID/teacher_forced/CLIP.npz

head.png: the procedural head under some shapes. faces.png: the clip's mean face, the teacher's and the predicted face at six
moments of CLIP, one of the clips that an evaluation keeps. Needs the extra `render`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exomni import arkit, clock
from exomni.head.procedural import ProceduralHead
from exomni.illustrate import beside_teacher
from exomni.render import Renderer
from exomni.render.video import contact_sheet, label_bar, write_picture

FOLDER = Path(__file__).resolve().parent
SIZE = 160  # pixels of a face
POSES = {
    "neutral": (),
    "jawOpen": ("jawOpen",),
    "mouthPucker": ("mouthPucker",),
    "mouthFunnel": ("mouthFunnel",),
    "smile + blink": ("mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft", "eyeBlinkRight"),
    "browInnerUp": ("browInnerUp",),
}


def shapes(renderer: Renderer) -> np.ndarray:
    """A row of the head under each of POSES with its name above: (H, W, 3) uint8."""
    coefficients = np.zeros((len(POSES), arkit.COUNT), np.float32)
    for row, names in zip(coefficients, POSES.values(), strict=True):
        row[arkit.indices(names)] = 1.0
    pictures = zip(POSES, renderer.frames(coefficients), strict=True)
    return np.hstack([np.vstack([label_bar(label, renderer.size), picture]) for label, picture in pictures])


def main(words: Sequence[str]) -> None:
    if len(words) != 1 or not Path(words[0]).is_file():
        sys.exit(__doc__)
    with np.load(words[0]) as clip:
        faces = beside_teacher(clip["truth_face"], {"prediction": clip["prediction_face"]})
    with Renderer(ProceduralHead(), size=SIZE) as renderer:
        print(write_picture(FOLDER / "head.png", shapes(renderer)))
        print(write_picture(FOLDER / "faces.png", contact_sheet(faces, renderer, count=6, fps=clock.FACE_HZ)))


if __name__ == "__main__":
    main(sys.argv[1:])
