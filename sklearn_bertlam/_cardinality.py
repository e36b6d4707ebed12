"""How many labels texts have, which no label knows by itself.

One logit per label treats labels as independent given the text: by them, a text that is hard to tell may have no label, or
six. Where training texts always had one to three, that is known better. With p the probabilities of n texts and K labels
by their logits, the labels y of a text are taken to have the probability

    P(y) = 1/Z  product_k p_k^y_k (1 - p_k)^(1 - y_k)  r(sum_k y_k),    r(m) = h(m) / q(m),

where h(m) is the part of the training texts that have m labels, and q(m) the part that would have m if labels came
independently of one another, each as often as it does: a Poisson binomial distribution. Neither needs predictions, so
nothing is held out. What is returned are the logits of the marginals of P, which sums over all sets of labels by passing
forward and backward through them.

This file needs no torch, because classifiers in ONNX files do the same.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, gammaln

MOST_COUNTED = 15  # that many labels and more are one case
_TEXTS_FOR_HALF = 3  # of weight one, until what was counted weighs as much as independence
_FEWEST_TEXTS = 10  # with so many labels or more; larger numbers are one case
_LARGEST = 20.0  # logarithm of a ratio
_MOST_LIKELY = 128  # labels of a text that are gone through one by one; the others together are close to Poisson
_TEXTS_AT_ONCE = 1024
_NEXT = np.minimum(np.arange(MOST_COUNTED + 1) + 1, MOST_COUNTED)  # the case with one label more


def count_labels(targets: sp.csr_array, sample_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count how often each label occurs, and how often how many, in texts all of whose labels are known.

    Parameters
    ----------
    targets : csr_array of shape (n, K)
        Stored entries are 1 or NaN (unknown).
    sample_weight : ndarray of shape (n,)
        Weights, which are scaled to a mean of 1 over all texts that have one.

    Returns
    -------
    per_label : ndarray of shape (K,)
        Texts that have the label.
    histogram : ndarray of shape (MOST_COUNTED + 1,)
        Texts that have so many labels, the last number or more.
    """
    is_unknown = sp.csr_array(targets != targets)  # NaN differs from itself
    rows = np.flatnonzero((sample_weight > 0) & (np.diff(is_unknown.indptr) == 0))
    if len(rows) == 0:
        return np.zeros(targets.shape[1]), np.zeros(MOST_COUNTED + 1)
    applies = sp.csr_array(targets[rows] == 1)
    weights = sample_weight[rows].astype(np.float64) / sample_weight[sample_weight > 0].mean()
    n_labels = np.minimum(np.diff(applies.indptr), MOST_COUNTED)
    return applies.T @ weights, np.bincount(n_labels, weights, minlength=MOST_COUNTED + 1)


def log_ratio(per_label: np.ndarray, histogram: np.ndarray) -> np.ndarray:
    """Return log r (MOST_COUNTED + 1,) for what ``count_labels`` has counted; 0 where too little is known."""
    n_texts = histogram.sum()
    if n_texts < _FEWEST_TEXTS:
        return np.zeros(MOST_COUNTED + 1)
    with_so_many_or_more = np.cumsum(histogram[::-1])[::-1]
    last = min(np.flatnonzero(with_so_many_or_more >= _FEWEST_TEXTS).max() + 1, MOST_COUNTED)
    independent = _starting_at(np.zeros(1))
    for rate in per_label / n_texts:
        independent = _one_more(independent, np.array([rate]))
    if _variance(histogram) >= _variance(independent[:, 0]):
        return np.zeros(MOST_COUNTED + 1)  # texts differ in how many labels they have, which their logits know better
    counted, expected = (_with_last_case(part, last) for part in (histogram, independent[:, 0]))
    ratio = np.ones(last + 1)  # also of what cannot be, because some labels always apply
    total = (n_texts + _TEXTS_FOR_HALF) * expected
    np.divide(counted + _TEXTS_FOR_HALF * expected, total, out=ratio, where=total > 0)
    ratio[-1] = min(ratio[-2:])  # a few texts with very many labels are not to be found everywhere
    return np.clip(np.log(ratio), -_LARGEST, _LARGEST)[np.minimum(np.arange(MOST_COUNTED + 1), last)]


def _variance(frequencies: np.ndarray) -> float:
    numbers = np.arange(len(frequencies))
    mean = np.average(numbers, weights=frequencies)
    return float(np.average((numbers - mean) ** 2, weights=frequencies))


def _with_last_case(parts: np.ndarray, last: int) -> np.ndarray:
    return np.append(parts[:last], parts[last:].sum())


def adjust(logits: np.ndarray, log_ratio: np.ndarray, is_counted: np.ndarray) -> np.ndarray:
    """Turn logits of labels by themselves (n, K), in place, into those of labels that come in such numbers.

    Labels that are not among the counted ones (K,) stay as they are: how many there are of the others says nothing of them.
    """
    ratio = np.exp(log_ratio - log_ratio.max())
    columns = slice(None) if is_counted.all() else np.flatnonzero(is_counted)
    if is_counted.any() and np.ptp(ratio) > 0:
        for start in range(0, len(logits), _TEXTS_AT_ONCE):
            texts = slice(start, start + _TEXTS_AT_ONCE)
            logits[texts, columns] += _change(logits[texts, columns], ratio)
    return logits


def _change(logits: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    n_likely = min(_MOST_LIKELY, logits.shape[1])
    likely = np.argpartition(-logits, n_likely - 1, axis=1)[:, :n_likely]  # (n, J)
    probabilities = expit(logits.astype(np.float64))
    chosen = np.take_along_axis(probabilities, likely, axis=1).T  # (J, n)
    others = probabilities.sum(axis=1) - chosen.sum(axis=0)
    before = [_starting_at(np.maximum(others, 0))]  # (N, n) each: the distribution of the number so far
    for probability in chosen:
        before.append(_one_more(before[-1], probability))
    after = np.broadcast_to(ratio[:, None], before[0].shape)  # what each number so far is worth in the end
    change = np.repeat(_log_odds_of_one_more(before[-1], after)[:, None], logits.shape[1], axis=1)  # (n, K)
    changes = np.empty_like(chosen)
    for place in reversed(range(n_likely)):
        changes[place] = _log_odds_of_one_more(before[place], after)
        after = chosen[place] * after[_NEXT] + (1 - chosen[place]) * after
    np.put_along_axis(change, likely, changes.T, axis=1)
    return change


def _starting_at(mean: np.ndarray) -> np.ndarray:
    """Return Poisson distributions (N, n) with the means (n,), the last case that number and more."""
    numbers = np.arange(MOST_COUNTED)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mean = np.where(numbers > 0, numbers * np.log(mean), 0.0)
    below = np.exp(log_mean - mean - gammaln(numbers + 1))
    return np.concatenate([below, np.maximum(0, 1 - below.sum(axis=0, keepdims=True))])


def _one_more(distribution: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the distribution (N, n) of the number of labels with one more label, which has the probabilities (n,)."""
    added = distribution * probability
    result = distribution - added
    result[1:] += added[:-1]
    result[-1] += added[-1]
    return result


def _log_odds_of_one_more(distribution: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Return by how much the number of labels speaks for one more (n,)."""
    return np.log((distribution * worth[_NEXT]).sum(axis=0)) - np.log((distribution * worth).sum(axis=0))
