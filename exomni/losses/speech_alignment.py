"""Speech rows that land on the embeddings of the words they hold: CTC against the LLM's own token embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from exomni.config.registry import register
from exomni.losses.base import Loss, LossTerm


@register("loss", "ctc_alignment")
class SpeechAlignmentLoss(Loss):
    """CTC (Graves et al. 2006) of projected speech rows, each scored against the LLM's embeddings of the transcript's tokens.

    An LLM reads what looks like its own input, and text cross-entropy alone is slow to find that. CTC over the LLM's
    vocabulary, with its embeddings as the classes, says it directly and needs no pass through the LLM (joining encoder and
    LLM by CTC over the LLM's tokens: LegoSLM, arXiv 2505.11352; its posteriors weigh the embeddings, here it is a loss only).

    The score of a row for a token is `scale` times the cosine between the two; the blank's class is the embedding of a token
    that carries nothing. Since a cosine leaves the length of a row open, `length_weight` times its squared relative
    difference from the tokens' mean length is added. A stage gives the loss the factor `weight` beside others (0: off), and
    minimises it alone for the first share `alone` of its steps, which then cost next to nothing.
    """

    tokens: Tensor  # (K - 1,) int64, without the blank's
    directions: Tensor  # (K, H) float32
    length: Tensor  # () float32

    def __init__(
        self,
        *,
        tokens: Tensor,
        embeddings: Tensor,
        weight: float = 0.0,
        alone: float = 0.0,
        scale: float = 20.0,
        length_weight: float = 1.0,
    ) -> None:
        """tokens (K,) int64: ids, the blank's first, then those of the transcripts in rising order; embeddings (K, H)."""
        super().__init__()
        if weight < 0 or scale <= 0 or length_weight < 0 or not 0 <= alone <= 1:
            raise ValueError(
                f"speech_alignment: weight {weight} and length_weight {length_weight} are 0 or more, scale {scale} is above 0, "
                f"alone {alone} is a share of the steps, 0 to 1"
            )
        assert len(tokens) == len(embeddings) > 1, (tokens.shape, embeddings.shape)
        self.weight, self.alone, self.scale, self.length_weight = weight, alone, scale, length_weight
        self.register_buffer("tokens", tokens[1:].contiguous(), persistent=False)
        self.register_buffer("directions", F.normalize(embeddings.float(), dim=-1), persistent=False)
        self.register_buffer("length", embeddings[1:].float().norm(dim=-1).mean(), persistent=False)

    def forward(self, rows: Tensor, row_counts: Tensor, labels: Tensor) -> LossTerm:
        """rows (B, P, H), row_counts (B,), labels (B, L); in nats, the count is the number of aligned tokens.

        Labels that are no token of the transcripts (IGNORE, the end of the answer) are left out, and so are samples with fewer
        rows than their tokens need: one each, and a blank between equal neighbours.
        """
        targets, sizes, fits = self._targets(row_counts, labels)
        scores = self.scale * F.normalize(rows.float(), dim=-1) @ self.directions.T
        losses = F.ctc_loss(
            scores.log_softmax(-1).transpose(0, 1), torch.cat(targets), row_counts, sizes, reduction="none", zero_infinity=True
        )
        real = torch.arange(rows.shape[1], device=rows.device) < row_counts[:, None]
        stretch = ((rows.float().norm(dim=-1) / self.length - 1).square() * real).sum(1) / row_counts.clamp(min=1)
        return LossTerm((fits * (losses + self.length_weight * sizes * stretch)).sum(), (sizes * fits).sum())

    def count(self, row_counts: Tensor, labels: Tensor) -> Tensor:
        """Tokens that are aligned."""
        _, sizes, fits = self._targets(row_counts, labels)
        return (sizes * fits).sum()

    def _targets(self, row_counts: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Each sample's classes, their number (B,), and whether (B,) bool its rows suffice for them."""
        targets = [self._classes(row) for row in labels]
        sizes = torch.tensor([len(target) for target in targets], device=labels.device)
        needed = torch.tensor([len(target) + int((target.diff() == 0).sum()) for target in targets], device=labels.device)
        return targets, sizes, (sizes > 0) & (needed <= row_counts)

    def _classes(self, labels: Tensor) -> Tensor:
        """Classes (A,) of the labels (L,) that are tokens of the transcripts; class 0 is the blank."""
        places = torch.searchsorted(self.tokens, labels).clamp(max=len(self.tokens) - 1)
        return places[self.tokens[places] == labels] + 1
