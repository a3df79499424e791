"""Starting values of unit embeddings: units that sound alike begin alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def init_from_vectors(embedding: nn.Embedding, vectors: Tensor) -> None:
    """Set the first rows of `embedding` (N, W) to the codec's unit vectors (vocab, D), rotated and scaled to its spread.

    The centred vectors keep their leading min(D, W) principal axes; where D < W they are spread over all W dimensions by a
    fixed random rotation. ValueError when there are more vectors than rows.
    """
    rows, width = embedding.weight.shape
    if len(vectors) > rows:
        raise ValueError(f"{len(vectors)} unit vectors for {rows} embedding rows; codec and model differ in their units")
    vectors = torch.as_tensor(vectors, dtype=torch.float32).cpu()
    left, scale, _ = torch.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    axes = min(scale.numel(), width)
    noise = torch.randn(width, axes, generator=torch.Generator().manual_seed(0))
    rotation = torch.linalg.qr(noise).Q.T  # (axes, width), orthonormal rows
    start = (left[:, :axes] * scale[:axes]) @ rotation
    start *= embedding.weight.float().std().cpu() / start.std().clamp(min=1e-12)
    embedding.weight[: len(vectors)] = start.to(embedding.weight)
