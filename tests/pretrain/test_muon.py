"""Muon in float32: what it does to singular values, and that its steps are those of PyTorch's own but for rounding."""

import pytest
import torch

from exomni.pretrain.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(48, 48), (24, 96), (96, 24)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonal(matrix) @ right.T
    assert found.dtype == torch.float32
    assert found.diagonal().min() > 0.6 and found.diagonal().max() < 1.25
    assert (found - found.diagonal().diag()).abs().max() < 1e-4
    assert not orthogonal(torch.zeros(shape)).any()


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
def test_its_steps_are_those_of_pytorch_but_for_rounding(shape):
    draw = torch.Generator().manual_seed(1)
    ours, theirs = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    mine = Muon([ours], lr=0.1, weight_decay=0.05)
    reference = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.05)
    for _ in range(4):
        gradient = torch.randn(shape, generator=draw)
        for value, optimizer in ((ours, mine), (theirs, reference)):
            value.grad = gradient.clone()
            optimizer.step()
    moved = (theirs - 1).norm()
    assert moved > 1
    assert (ours - theirs).norm() < 0.02 * moved  # bfloat16 has three digits


def test_what_is_no_matrix_is_refused_and_what_has_no_gradient_stays():
    with pytest.raises(ValueError, match=r"shape \(3,\).*leave others to AdamW"):
        Muon([torch.nn.Parameter(torch.zeros(3))], lr=0.1)
    still = torch.nn.Parameter(torch.ones(2, 2))
    Muon([still], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(2, 2))
