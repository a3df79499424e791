"""SyncNet for inference: syncnet_python's network with its sums rearranged, embedding whole clips in bounded memory.

Source: Chung and Zisserman, "Out of time: automated lip sync in the wild", 2016; weights by https://github.com/joonson/syncnet_python.
What is rearranged, without a change to the result but rounding: batch norms are folded into the layers before them; the first
convolution over 5 frames is one over 15 channels, for all others see one frame only; pictures lie channels last. The sums of
that first layer over a frame differ with the frame's place in its window, so windows share nothing.

Legend: T frames, n windows of 5 frames or 20 columns, M columns of 13 coefficients, D = 1024.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.modules.batchnorm import _BatchNorm

from exomni import assets
from exomni.metrics.sync.mfcc import mfcc

SIDE = 224  # pixels of the network's pictures
FRAMES = 5  # of a window
COLUMNS, COLUMN_STEP = 20, 4  # of a window; from one to the next
SAMPLES = 640  # at 16 kHz in a frame at 25 fps
AUDIO_BATCH = 64  # windows; they are small
SEED = 0  # of random weights
FILE = "syncnet_v2.model"  # as its authors name it


class SyncNet(nn.Module):
    """Both towers. `face_tower` (b, 15, 224, 224) -> (b, 512) and `audio_tower` (b, 1, 13, 20) -> (b, 512) do nearly all sums;
    the small heads behind them compute in float64, which no setting of a GPU's matrix products makes coarser.
    """

    def __init__(self, source: Any) -> None:
        """`source` is syncnet_python's network, which has no types."""
        super().__init__()
        self.dim = int(source.netfcaud[-1].out_features)  # D
        self.face_tower = _rearranged(source.netcnnlip)
        self.face_head = _rearranged(source.netfclip).double()
        self.audio_tower = _rearranged(source.netcnnaud)
        self.audio_head = _rearranged(source.netfcaud).double()
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def embed_frames(self, chunks: Iterable[Tensor], *, batch_size: int, most: int | None = None) -> tuple[Tensor, int]:
        """Consecutive pieces (t, H, W, 3) uint8 RGB of one clip -> ((n, D) float32, T), n = T - 5 but 0 at least.

        `most`: windows beyond this many are not embedded, their frames only counted. One window less than frames allow,
        as in the original.
        """
        counter = _Counted(chunks)
        found = []
        enough = None if most is None else most + FRAMES - 1
        with _exact(self._device):
            for block in _blocks(_first(_prepared(counter, batch_size, self._device), enough), batch_size):
                count = len(block) - FRAMES + 1
                window = torch.cat([block[start : start + count] for start in range(FRAMES)], dim=-1)  # (b, H, W, 15)
                found.append(_embedded(self.face_tower, self.face_head, window.permute(0, 3, 1, 2)))  # channels last already
        for _ in counter:
            pass
        rows = torch.cat(found) if found else self._none()
        return rows[: max(0, counter.total - FRAMES)][:most], counter.total

    @torch.no_grad()
    def embed_audio(self, samples: Tensor) -> Tensor:
        """Samples (S,) at 16 kHz in the range of int16 -> (n, D) float32, n = floor(S / 640) - 5 but 0 at least."""
        count = max(0, len(samples) // SAMPLES - FRAMES)
        if count == 0:
            return self._none()
        with _exact(self._device):
            columns = mfcc(samples.to(self._device)).T.unfold(1, COLUMNS, COLUMN_STEP)[:, :count].transpose(0, 1)
            parts = (part[:, None].contiguous() for part in columns.split(AUDIO_BATCH))
            found = [_embedded(self.audio_tower, self.audio_head, part) for part in parts]
        return torch.cat(found)

    @property
    def _device(self) -> torch.device:
        return next(self.face_tower.parameters()).device

    def _none(self) -> Tensor:
        return torch.zeros(0, self.dim, device=self._device)


def _embedded(tower: nn.Module, head: nn.Module, windows: Tensor) -> Tensor:
    """(b, D) float32 of windows, each part in its own precision."""
    middle = tower(windows.to(next(tower.parameters()).dtype))
    return head(middle.flatten(1).to(next(head.parameters()).dtype)).float()


def load(weights: str | Path | None) -> SyncNet:
    """The network with the weights in a file (state dict), in a folder that holds `syncnet_v2.model`, or, for "syncnet", among
    the assets; with None random ones, always the same. FileNotFoundError, ValueError: what is wrong with the file.
    """
    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(SEED)
            return SyncNet(architecture()().eval())
    path = _weights_file(weights)
    with torch.device("meta"):  # nothing is drawn for weights that are replaced
        source = architecture()().eval()
    try:
        source.load_state_dict(_state(path), assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} does not hold the state dict of SyncNet: {error}") from error
    return SyncNet(source)


def architecture() -> Any:
    """The class of syncnet_python's network. Its file alone is loaded: the package imports OpenCV, ffmpeg and more."""
    package = importlib.util.find_spec("syncnet_python")
    if package is None or not package.submodule_search_locations:
        raise ImportError("SyncNet's network comes with syncnet-python; pip install syncnet-python==0.2.3")
    path = Path(package.submodule_search_locations[0]) / "SyncNetModel.py"
    spec = importlib.util.spec_from_file_location("syncnet_python_network", path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.S


def _weights_file(weights: str | Path) -> Path:
    path = Path(assets.resolve("asset:syncnet" if weights == "syncnet" else str(weights))).expanduser()
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: SyncNet needs its weights. Give weights= a file or a folder with {FILE}, or fetch them with "
            "`exomni assets get syncnet` and give weights='syncnet'; weights=None is random, for tests only"
        )
    return path


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickling error of any kind: what a file may hold has no end
        raise ValueError(f"{path} cannot be read as weights alone (a state dict that torch.save wrote): {error}") from error


def _rearranged(layers: nn.Sequential) -> nn.Sequential:
    """The same layers with batch norms folded in and, where they are 3-D, frames as channels."""
    made: list[nn.Module] = []
    followers = [*list(layers)[1:], None]
    for layer, follower in zip(layers, followers, strict=True):
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            made.append(_folded(layer, follower if isinstance(follower, _BatchNorm) else None))
        elif isinstance(layer, (nn.MaxPool2d, nn.MaxPool3d)):
            made.append(nn.MaxPool2d(_plane(layer.kernel_size), _plane(layer.stride), _plane(layer.padding)))
        else:
            assert isinstance(layer, (nn.ReLU, _BatchNorm)), layer
            if isinstance(layer, nn.ReLU):
                made.append(nn.ReLU(inplace=True))
    return nn.Sequential(*made).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _plane(value: Any) -> Any:
    """The part of a 3-D setting (frames, height, width) that concerns the plane."""
    return value[-2:] if isinstance(value, tuple) else value


def _folded(layer: nn.Linear | nn.Conv2d | nn.Conv3d, norm: _BatchNorm | None) -> nn.Module:
    """`layer` and the batch norm behind it as one layer; sums in float64."""
    assert layer.bias is not None
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    if norm is not None:
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    if isinstance(layer, nn.Linear):
        made: nn.Module = nn.Linear(layer.in_features, layer.out_features, device="meta")
    else:
        if weight.ndim == 5:
            if weight.shape[1] == 3:
                weight = weight.flip(1)  # the original reads BGR
            weight = weight.transpose(1, 2).flatten(1, 2)  # (out, frames * channels, height, width)
        plane = {name: _plane(getattr(layer, name)) for name in ("kernel_size", "stride", "padding")}
        made = nn.Conv2d(weight.shape[1], weight.shape[0], **plane, device="meta")
    made.weight, made.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
    return made


class _Counted:
    """An iterator over pieces of a clip that counts their frames."""

    def __init__(self, pieces: Iterable[Tensor]) -> None:
        self.pieces, self.total = iter(pieces), 0

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        piece = next(self.pieces)
        self.total += len(piece)
        return piece


def _prepared(pieces: Iterable[Tensor], size: int, device: torch.device) -> Iterator[Tensor]:
    """Pieces of at most `size` frames on the device, 224 x 224."""
    for piece in pieces:
        for part in piece.split(size):
            yield resized(part.to(device))


def resized(frames: Tensor) -> Tensor:
    """(t, H, W, 3) uint8 -> (t, 224, 224, 3) uint8, bilinearly between pixel centres without smoothing, as OpenCV does."""
    if frames.shape[1:3] == (SIDE, SIDE):
        return frames
    moved = interpolate(frames.permute(0, 3, 1, 2).float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return moved.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _first(pieces: Iterable[Tensor], most: int | None) -> Iterator[Tensor]:
    """Pieces until `most` frames have passed."""
    left = most
    for piece in pieces:
        if left is None:
            yield piece
            continue
        if left > 0:
            yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _blocks(pieces: Iterable[Tensor], windows: int) -> Iterator[Tensor]:
    """Blocks of `windows` + 4 frames that share 4 with the next: the same blocks whatever the pieces are."""
    held: list[Tensor] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        while count >= windows + FRAMES - 1:
            block = torch.cat(held)
            yield block[: windows + FRAMES - 1]
            held, count = [block[windows:]], count - windows
    if count >= FRAMES:
        yield torch.cat(held)


@contextlib.contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Sums in the weights' own precision: no autocast, no TF32."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False, fp32_precision="ieee"))
        yield
