"""What multi-label classifiers here share towards scikit-learn, and what those of others call their labels and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

from ._validation import Targets, check_sample_weight, check_targets, in_order_of


class MultilabelClassifierMixin(ClassifierMixin):
    """Mixin of classifiers of raw texts into any number of labels."""

    def score(self, X, y, sample_weight=None):
        """Compute the subset accuracy: the share of texts whose every known label is predicted right.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.
        y : {array-like, sparse matrix, DataFrame} of shape (n_texts, n_labels)
            Indicator of 0 and 1; NaN entries do not count. Columns named as ``classes_`` may be in any order.
        sample_weight : array-like of shape (n_texts,), optional
            Non-negative weights of the texts.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        predicted = sp.csr_array(self.predict(X))
        actual = in_order_of(check_targets(y, predicted.shape[0]), list(self.classes_)).matrix
        if actual.shape != predicted.shape:
            raise ValueError(f"y has {actual.shape[1]} columns but the classifier knows {predicted.shape[1]} labels.")
        unknown = sp.csr_array(actual != actual)  # NaN differs from itself
        wrong = (predicted != sp.csr_array(actual == 1)) > unknown
        right = wrong.sum(axis=1) == 0
        return float(np.average(right, weights=check_sample_weight(sample_weight, len(right))))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags


def classifier_in(estimator: Any) -> Any:
    """Return the fitted classifier in pipelines and searches."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        else:
            return estimator


def names_of_labels(estimator: Any, n_labels: int) -> np.ndarray | None:
    """Return the labels of a fitted classifier (K,), or None where it knows no names.

    Some of scikit-learn's classifiers have a list of the classes of each label instead, or the numbers of the columns.
    """
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.shape != (n_labels,):
        return None
    are_numbers = classes.tolist() == list(range(n_labels))
    return None if are_numbers and not isinstance(estimator, MultilabelClassifierMixin) else classes


def in_order_of_labels(targets: Targets, estimator: Any) -> Targets:
    """Return the targets with their columns in the order of the labels of a fitted classifier, if it knows their names."""
    names = names_of_labels(estimator, targets.matrix.shape[1])
    return targets if names is None else in_order_of(targets, names.tolist())


def one_column_per_label(scores: Any, estimator: Any, n_labels: int) -> np.ndarray:
    """Return scores (n, K), also of classifiers that give a list of (n, 2) per label, or that take one label for a class."""
    classes = getattr(estimator, "classes_", [None] * n_labels)
    if isinstance(scores, list) and all(isinstance(part, np.ndarray) for part in scores):
        scores = np.column_stack([_of_class_one(part, known) for part, known in zip(scores, classes, strict=True)])
    scores = np.asarray(scores)
    scores = scores.reshape(len(scores), -1)
    if n_labels == 1 and scores.shape[1] == 2:
        scores = scores[:, 1:]
    elif isinstance(classes, np.ndarray) and classes.shape == (1,) and classes.dtype != object:  # the only one there was
        scores = _of_class_one(scores, classes)[:, None]
    if scores.shape[1] != n_labels:
        raise ValueError(f"{estimator!r} scores {scores.shape[1]} labels, but y has {n_labels} columns.")
    return scores


def _of_class_one(scores: np.ndarray, classes: Any) -> np.ndarray:
    if scores.ndim == 1:
        return scores
    if scores.shape[1] == 2:
        return scores[:, 1]
    return scores[:, 0] * float(np.ravel(classes)[0] == 1)  # a label that always or never applied in training
