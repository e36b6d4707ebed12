import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_bertlam._initialisation import log_odds
from sklearn_bertlam._losses import MaskedBCEWithLogitsLoss, mean_one_weights

logits_strategy = arrays(np.float32, (4, 3), elements=st.floats(-20, 20, width=32))
targets_strategy = arrays(np.float32, (4, 3), elements=st.sampled_from([0.0, 1.0, np.nan]))


def loss(logits, targets, weights, **options):
    criterion = MaskedBCEWithLogitsLoss(**options)
    return criterion(*(torch.as_tensor(array, dtype=torch.float32) for array in (logits, targets, weights)))


def test_equals_the_formula():
    logits, targets = np.array([[2.0, -1.0]]), np.array([[1.0, 1.0]])
    probabilities = 1 / (1 + np.exp(-logits))
    assert float(loss(logits, targets, [1.0])) == pytest.approx(-np.log(probabilities).mean(), rel=1e-6)


def test_pos_weight_weighs_positive_entries_only():
    weighted = loss([[0.0, 0.0]], [[1.0, 0.0]], [1.0], pos_weight=torch.tensor([3.0, 3.0]))
    assert float(weighted) == pytest.approx((3 * np.log(2) + np.log(2)) / 2, rel=1e-6)


@given(logits_strategy, targets_strategy)
def test_unknown_targets_have_no_gradient(logits, targets):
    logits = torch.tensor(logits, requires_grad=True)
    value = MaskedBCEWithLogitsLoss()(logits, torch.tensor(targets), torch.ones(4))
    value.backward()
    assert torch.isfinite(value)
    assert (logits.grad[torch.isnan(torch.tensor(targets))] == 0).all()


def loss_in_training(logits, targets, weights):
    """Scale the weights as fit does."""
    known = sp.csr_array(np.where(np.isnan(targets), np.nan, targets))
    return loss(logits, targets, mean_one_weights(np.asarray(weights, dtype=float), known))


@given(logits_strategy, targets_strategy, st.integers(0, 3))
def test_weight_two_equals_the_row_twice(logits, targets, row):
    weights = np.ones(4)
    weights[row] = 2
    twice = loss_in_training(np.vstack([logits, logits[row]]), np.vstack([targets, targets[row]]), np.ones(5))
    np.testing.assert_allclose(loss_in_training(logits, targets, weights), twice, rtol=1e-4, atol=1e-12)


@given(logits_strategy, targets_strategy)
def test_weight_zero_equals_the_row_left_out(logits, targets):
    left_out = loss_in_training(logits[:3], targets[:3], np.ones(3))
    np.testing.assert_allclose(loss_in_training(logits, targets, [1, 1, 1, 0]), left_out, rtol=1e-4, atol=1e-12)


def test_weights_count_across_batches():
    weights = mean_one_weights(np.array([1.0, 3.0]), sp.csr_array(np.ones((2, 2))))
    light, heavy = (float(loss([[1.0, 1.0]], [[1.0, 1.0]], [weight])) for weight in weights)
    assert heavy == pytest.approx(3 * light)


def test_log_odds_leave_unknown_entries_out_and_count_weights():
    y = sp.csr_array(np.array([[1, 0, np.nan], [0, 0, 1], [1, 0, 1]], dtype=np.float32))
    got = log_odds(y, np.array([1, 1, 2], dtype=np.float32))
    np.testing.assert_allclose(got, np.log([3.5 / 1.5, 0.5 / 4.5, 3.5 / 0.5]), rtol=1e-6)


def test_weights_have_mean_one_over_the_known_entries():
    targets = sp.csr_array(np.array([[1, np.nan, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
    weights = mean_one_weights(np.array([2.0, 0.25]), targets)
    np.testing.assert_allclose(weights, np.array([2.0, 0.25]) * 8 / (2 * 3 + 0.25 * 4))
    assert weights.dtype == np.float32
    np.testing.assert_allclose(mean_one_weights(np.array([0.05, 0.05]), targets), 8 / 7)
    nothing_known = sp.csr_array(np.full((2, 2), np.nan, dtype=np.float32))
    np.testing.assert_array_equal(mean_one_weights(np.array([1.0, 3.0]), nothing_known), [1, 3])
