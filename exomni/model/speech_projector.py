"""From speech encoder rows to the LLM's width: join consecutive rows, then a two-layer perceptron (arXiv 2602.07106)."""

from __future__ import annotations

from torch import Tensor, nn

from exomni.config.registry import register


@register("speech_projector", "linear")
class LinearSpeechProjector(nn.Module):
    """Joins `join` rows into one, Linear -> ReLU -> Linear. With join 4, 50 Hz rows become 12.5 Hz."""

    def __init__(self, *, speech_dim: int, llm_dim: int, join: int = 4, hidden: int = 2048) -> None:
        super().__init__()
        if join < 1 or hidden < 1:
            raise ValueError(f"speech_projector: join is {join} and hidden is {hidden}; both are 1 or more")
        self.join = join
        self.linear1 = nn.Linear(speech_dim * join, hidden)
        self.linear2 = nn.Linear(hidden, llm_dim)

    def forward(self, rows: Tensor, row_counts: Tensor) -> tuple[Tensor, Tensor]:
        """(B, R, E) and valid rows (B,) -> (B, R // join, llm_dim) and floor(valid / join) (B,); remainders are dropped.

        The joined row holds its rows one after the other (frame-major). Rows past a sample's count come out as they are:
        whoever uses them goes by the counts.
        """
        batch, length, width = rows.shape
        joined = length // self.join
        rows = rows[:, : joined * self.join].reshape(batch, joined, self.join * width)
        return self.linear2(self.linear1(rows).relu()), row_counts // self.join
