"""Thresholds found by sorting, against trying every one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from sklearn_bertlam._thresholds import (
    SCORINGS,
    apply_threshold,
    best_threshold,
    best_thresholds,
    cautious_thresholds,
    f1,
    scored_entries,
    threshold_for_f1,
)

CANDIDATES = [-1.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]  # around the scores 0, 0.2, ..., 1


@st.composite
def problems(draw):
    n, n_labels = draw(st.integers(1, 8)), draw(st.integers(2, 3))
    size = n * n_labels
    scores = np.array(draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))).reshape(n, n_labels) / 5
    targets = np.array(draw(st.lists(st.sampled_from([0, 1]), min_size=size, max_size=size))).reshape(n, n_labels)
    return targets, scores, draw(st.integers(0, n_labels))


def average_f1(targets, predicted, scoring):
    return f1_score(targets, predicted, average=scoring.removeprefix("f1_"), zero_division=0)


@pytest.mark.parametrize("scoring", sorted(SCORINGS))
@settings(deadline=None, max_examples=30)
@given(problems())
def test_no_threshold_is_better(scoring, problem):
    targets, scores, min_labels = problem
    threshold = best_threshold(scored_entries(targets.astype(float), scores, min_labels), scoring)
    found, *others = (
        average_f1(targets, apply_threshold(scores, one, min_labels), scoring) for one in [threshold, *CANDIDATES]
    )
    assert found == pytest.approx(max(others))


@pytest.mark.parametrize("scoring", ["f1_micro", "f1_macro", "f1_weighted"])
@settings(deadline=None, max_examples=30)
@given(problems())
def test_no_thresholds_per_label_are_better(scoring, problem):
    targets, scores, min_labels = problem
    entries = scored_entries(targets.astype(float), scores, min_labels)
    found, overall = best_thresholds(entries, scoring), best_threshold(entries, scoring)
    has_positive = targets.any(axis=0)
    assert (found[~has_positive] == overall).all()
    combinations = product(CANDIDATES, repeat=targets.shape[1])
    best = max(f1(entries, np.where(has_positive, combination, overall), scoring) for combination in combinations)
    assert f1(entries, found, scoring) == pytest.approx(best)


def test_unknown_entries_do_not_count():
    targets, scores = np.array([[1, 0], [np.nan, 1], [0, np.nan]]), np.array([[0.9, 0.2], [0.4, 0.6], [0.1, 0.5]])
    entries = scored_entries(targets, scores)
    assert 0.2 < best_threshold(entries) < 0.6
    assert f1(entries, 0.3, "f1_micro") == 1.0


def test_equal_scores_stay_together_and_halfway_separates():
    targets, scores = np.array([[1.0], [0], [0], [0]]), np.array([[0.8], [0.8], [0.4], [0.2]], dtype=np.float32)
    assert best_threshold(scored_entries(targets, scores)) == pytest.approx(0.6)


@pytest.mark.parametrize("scores", [[[0.1 + 0.2], [0.3]], [[np.nextafter(1, 2)], [1.0]], [[np.inf], [0.3]]])
def test_scores_without_a_number_in_between_are_separated(scores):
    entries = scored_entries(np.array([[1.0], [0]]), np.array(scores))
    assert f1(entries, best_threshold(entries), "f1_micro") == 1


def test_every_document_has_its_best_labels():
    scores = np.array([[0.1, 0.3, 0.2], [0.9, 0.8, 0.1]])
    np.testing.assert_array_equal(apply_threshold(scores, 0.5, 1), [[0, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(apply_threshold(scores, 0.5, 2), [[0, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(apply_threshold(scores, 0.5, 3), np.ones((2, 3)))


def test_few_examples_move_the_threshold_little():
    scores = np.tile([[0.3], [0.1]], (500, 1))
    targets = np.tile([[1.0], [0.0]], (500, 1))
    few, many = cautious_thresholds(targets[:4], scores[:4])[0], cautious_thresholds(targets, scores)[0]
    assert 0.4 < few < 0.5
    assert 0.2 <= many < 0.22
    np.testing.assert_array_equal(cautious_thresholds(targets * 0, scores), 0.5)
    with_rare = np.hstack([targets, np.zeros((1000, 1))])
    rare = cautious_thresholds(with_rare, np.hstack([scores, np.full((1000, 1), 0.05)]))
    assert rare[1] == pytest.approx(0.2 + 0.3 * 20 / 520)  # the threshold for all


def test_thresholds_per_label_are_approached_in_several_steps():
    targets = np.array([[1, 0], [0, 0], [0, 0], [1, 1], [0, 0], [1, 0], [0, 0]], dtype=float)
    scores = np.array([[0.6, 0.8], [0.4, 0.6], [0.2, 0.6], [0.0, 0.4], [0.0, 0.6], [0.6, 0.0], [1.0, 0.8]])
    entries = scored_entries(targets, scores)
    assert f1(entries, best_thresholds(entries, "f1_micro"), "f1_micro") == pytest.approx(4 / 7)  # after one step 6 / 11


@pytest.mark.parametrize(("reachable", "n_positive", "threshold"), [(0.8, 60, (0.4 * 60 + 10) / 80), (0.6, 0, 0.5)])
def test_half_of_the_reachable_f1_is_the_threshold_where_it_is_known(reachable, n_positive, threshold):
    assert threshold_for_f1(reachable, n_positive) == pytest.approx(threshold)


def test_samples_have_no_threshold_per_label():
    with pytest.raises(ValueError, match="f1_samples"):
        best_thresholds(scored_entries(np.eye(2), np.eye(2)), "f1_samples")


@pytest.mark.parametrize("scoring", ["f1_micro", "f1_macro", "f1_weighted"])
def test_labels_that_are_always_predicted_have_a_threshold(scoring):
    """Every document's best label is the first one, whose own threshold then decides on nothing."""
    targets = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.8, 0.7], [0.9, 0.6], [0.7, 0.2]])
    thresholds = best_thresholds(scored_entries(targets, scores, min_labels=1), scoring)
    assert not np.isnan(thresholds).any()
    assert 0.2 <= thresholds[1] < 0.6
