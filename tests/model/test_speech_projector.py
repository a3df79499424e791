"""The speech projector against NumPy, and what it does with remainders."""

import numpy as np
import pytest
import torch

from exomni.model.speech_projector import LinearSpeechProjector


def test_formula_against_numpy():
    torch.manual_seed(0)
    projector = LinearSpeechProjector(speech_dim=3, llm_dim=5, join=2, hidden=7)
    rows = torch.randn(2, 5, 3)
    found, counts = projector(rows, torch.tensor([5, 3]))
    w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in projector.parameters())
    data = rows.numpy()
    for sample in range(2):
        for row in range(2):
            joined = np.concatenate([data[sample, 2 * row], data[sample, 2 * row + 1]])
            expected = w2 @ np.maximum(w1 @ joined + b1, 0) + b2
            np.testing.assert_allclose(found[sample, row].detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert found.shape == (2, 2, 5) and counts.tolist() == [2, 1]


def test_fewer_rows_than_join_give_none():
    found, counts = LinearSpeechProjector(speech_dim=3, llm_dim=5)(torch.randn(1, 3, 3), torch.tensor([3]))
    assert found.shape == (1, 0, 5) and counts.tolist() == [0]


def test_wrong_join_is_refused():
    with pytest.raises(ValueError, match="join is 0"):
        LinearSpeechProjector(speech_dim=3, llm_dim=5, join=0)
