"""scikit-learn's own estimator checks, run for real on text.

scikit-learn skips nearly all of its checks for estimators that read only texts. So each estimator is run through a
subclass, for tests only, that turns rows of numbers into texts and takes any two classes for absent and present.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sklearn_bertlam import BertLamClassifier, _encoders
from sklearn_bertlam.baselines import BinaryRelevanceClassifier


class ReadsNumbers:
    """Mixin that makes a text classifier one of numbers."""

    def fit(self, X, y, sample_weight=None):
        X = validate_data(self, X)
        return super().fit(as_texts(X), as_indicator(y), sample_weight=sample_weight)

    def predict(self, X):
        return super().predict(self._texts(X))

    def predict_proba(self, X):
        return super().predict_proba(self._texts(X))

    def decision_function(self, X):
        return super().decision_function(self._texts(X))

    def _texts(self, X):
        if isinstance(X, list) and X and isinstance(X[0], str):  # one public method calls another
            return X
        check_is_fitted(self)
        return as_texts(validate_data(self, X, reset=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = False
        tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags


def as_texts(X):
    return [" ".join(f"{'abcdefghij'[column % 10]}{value:.1f}" for column, value in enumerate(row)) for row in X]


def as_indicator(y):
    if y is None or sp.issparse(y):
        return y
    y = check_array(y, dtype=None, ensure_2d=False)
    classes = np.unique(y)
    return (y == classes[-1]).astype(int) if y.dtype.kind != "c" and len(classes) == 2 else y


class NumericBertLam(ReadsNumbers, BertLamClassifier):
    def __init__(self, encoder="", *, max_epochs=1, max_length=32, precision="float32", random_state=None):
        super().__init__(
            encoder, max_epochs=max_epochs, max_length=max_length, precision=precision, random_state=random_state
        )


class NumericBinaryRelevance(ReadsNumbers, BinaryRelevanceClassifier):
    pass


_ONE_DIMENSIONAL = "the check gives a one-dimensional y, which is refused: every label is a column"
_ONE_DIMENSIONAL_CHECKS = (
    "check_classifiers_one_label",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_decision_proba_consistency",
    "check_classifier_not_supporting_multiclass",
)
EXPECTED_FAILURES = {
    "NumericBertLam": {
        "check_sample_weight_equivalence_on_dense_data": "a repeated text also changes which texts share a batch",
        **dict.fromkeys(_ONE_DIMENSIONAL_CHECKS, _ONE_DIMENSIONAL),
    },
    "NumericBinaryRelevance": {
        "check_sample_weight_equivalence_on_dense_data": "TF-IDF counts documents without weights",
        **dict.fromkeys(_ONE_DIMENSIONAL_CHECKS, _ONE_DIMENSIONAL),
    },
}


@pytest.fixture(autouse=True)
def encoder(tiny_encoder, monkeypatch):
    """Let the empty name mean the tiny encoder, whose folder is not there yet when the checks are collected."""
    find = _encoders._local_folder
    monkeypatch.setattr(_encoders, "_local_folder", lambda name: find(name or tiny_encoder))


@parametrize_with_checks(
    [NumericBertLam(), NumericBinaryRelevance()],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator).__name__, {}),
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
