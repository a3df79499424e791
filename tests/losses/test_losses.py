"""Losses against numbers worked out by hand or with NumPy."""

import math

import numpy as np
import pytest
import torch

from exomni import arkit
from exomni.losses import BlendshapeLoss, LossTerm, TextLoss, UnitLoss, label_smoothing_divergence
from exomni.types import IGNORE


def test_text_loss_counts_labels_that_are_not_ignored():
    logits = torch.zeros(2, 3, 4)
    logits[0, 0, 2] = math.log(5.0)  # p = 5 / 8
    term = TextLoss()(logits, torch.tensor([[2, IGNORE, IGNORE], [1, 3, IGNORE]]))
    assert term.count.item() == 3
    assert term.total.item() == pytest.approx(math.log(8 / 5) + 2 * math.log(4))
    assert term.mean.item() == pytest.approx(term.total.item() / 3)


def test_a_term_of_nothing_is_zero_and_differentiable():
    logits = torch.zeros(1, 2, 4, requires_grad=True)
    for term in (TextLoss()(logits, torch.full((1, 2), IGNORE)), UnitLoss()(logits, torch.full((1, 2), IGNORE))):
        term.mean.backward()
        assert term.mean.item() == 0 and not logits.grad.any()


def test_label_smoothing_is_the_divergence_from_the_smoothed_target():
    random = np.random.default_rng(0)
    logits, targets, smoothing = random.normal(size=(2, 3, 5)), np.array([[0, 4, IGNORE], [2, 2, 1]]), 0.2
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.zeros((2, 3))
    for place in zip(*np.nonzero(targets != IGNORE)):
        wanted = np.full(5, smoothing / 4)
        wanted[targets[place]] = 1 - smoothing
        expected[place] = (wanted * (np.log(wanted) - log_probs[place])).sum()
    rows = label_smoothing_divergence(torch.tensor(logits), torch.tensor(targets), smoothing)
    np.testing.assert_allclose(rows.numpy(), expected, atol=1e-6)
    term = UnitLoss(label_smoothing=smoothing)(torch.tensor(logits), torch.tensor(targets))
    assert term.count.item() == 5 and term.total.item() == pytest.approx(expected.sum(), rel=1e-5)


def test_without_smoothing_it_is_the_cross_entropy():
    logits, targets = torch.randn(2, 4, 7), torch.tensor([[1, 2, IGNORE, IGNORE], [6, 0, 3, 3]])
    plain = UnitLoss(label_smoothing=0.0)(logits, targets)
    assert plain.total.item() == pytest.approx(label_smoothing_divergence(logits, targets).sum().item(), rel=1e-5)
    with pytest.raises(ValueError, match="label_smoothing is 1.5"):
        UnitLoss(label_smoothing=1.5)


def test_face_loss_weighs_sequences_alike_and_ignores_padding():
    prediction, target = torch.zeros(2, 4, 52), torch.zeros(2, 4, 52)
    prediction[0, :] = 1.0  # error 1 in all 4 frames
    prediction[1, 0] = 2.0  # error 4 in the only frame
    prediction[1, 1:] = 1e3
    term = BlendshapeLoss()(prediction, target, torch.tensor([4, 1]))
    assert term.count.item() == 2
    assert term.total.item() == pytest.approx(1 + 4, rel=1e-5)
    assert BlendshapeLoss()(prediction, target, torch.tensor([4, 0])).mean.item() == pytest.approx(0.5, rel=1e-5)


def test_face_loss_cuts_and_pads_the_prediction():
    target = torch.ones(1, 4, 52)
    assert BlendshapeLoss()(torch.ones(1, 6, 52), target, torch.tensor([4])).mean.item() == 0
    assert BlendshapeLoss()(torch.ones(1, 3, 52), target, torch.tensor([4])).mean.item() == pytest.approx(1 / 4)


def test_velocity_term_by_hand():
    prediction, target = torch.zeros(1, 4, 52), torch.zeros(1, 4, 52)
    prediction[0, :, 0] = torch.tensor([0.0, 1.0, 3.0, 100.0])  # differences 1 and 2 inside 3 valid frames
    term = BlendshapeLoss(velocity_weight=0.5)(prediction, target, torch.tensor([3]))
    assert term.mean.item() == pytest.approx((0 + 1 + 9) / 52 / 3 + 0.5 * (1 + 4) / 52 / 2, rel=1e-5)


def test_channel_weights():
    std = torch.full((52,), 0.16)
    std[0] = 0.001  # below the floor
    weights = BlendshapeLoss(channel_std=std, spread_power=1.5, spread_floor=0.04, blink_weight=0.1).channel_weights
    assert weights.mean().item() == pytest.approx(1.0)
    assert (weights[0] / weights[1]).item() == pytest.approx(8.0, rel=1e-5)  # (0.16 / 0.04) ** 1.5
    blinks = arkit.indices(arkit.BLINKS)
    assert (weights[blinks] / weights[1]).tolist() == pytest.approx([0.1, 0.1])
    even = BlendshapeLoss(channel_std=torch.ones(52), blink_weight=1.0)
    prediction, target, lengths = torch.randn(2, 3, 52), torch.randn(2, 3, 52), torch.tensor([3, 2])
    torch.testing.assert_close(even(prediction, target, lengths).total, BlendshapeLoss()(prediction, target, lengths).total)
    with pytest.raises(ValueError, match="spread_floor"):
        BlendshapeLoss(spread_floor=0.0)


def test_terms_add_up_over_batches():
    one, two = LossTerm(torch.tensor(6.0), torch.tensor(3)), LossTerm(torch.tensor(2.0), torch.tensor(1))
    assert LossTerm(one.total + two.total, one.count + two.count).mean.item() == 2.0
