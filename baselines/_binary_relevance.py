"""Binary Relevance: one binary classifier per label, and nothing shared between labels but the features."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, _fit_context, clone, is_regressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples, check_is_fitted, has_fit_parameter, validate_data

from sklearn_bertlam._multilabel import MultilabelClassifierMixin
from sklearn_bertlam._validation import (
    check_label_counts,
    check_label_names,
    check_sample_weight,
    check_targets,
    check_texts,
)

_LARGEST_LOG_ODDS = 50.0


def _predicts_probabilities(self) -> bool:
    estimators = [self._base_estimator(), *getattr(self, "estimators_", [])]
    return all(hasattr(estimator, "predict_proba") for estimator in estimators)


class BinaryRelevanceClassifier(MultilabelClassifierMixin, BaseEstimator):
    """Multi-label classifier that fits one binary classifier per label, on TF-IDF vectors by default.

    Parameters
    ----------
    vectorizer : estimator, "passthrough" or None, default=None
        Turns raw texts into features: anything with ``fit_transform`` and ``transform``. None is TF-IDF of words and
        word pairs with sublinear term frequency. With "passthrough", X is a numeric matrix.
    estimator : estimator or None, default=None
        A binary classifier. None is a logistic regression with weak regularisation (C=1000), which on TF-IDF vectors
        decides like a linear support vector machine and gives probabilities.
    n_jobs : int or None, default=None
        Number of labels to fit at the same time; None is 1, -1 all processors.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels: column names of y, or 0 to n_labels - 1.
    n_labels_ : int
        Number of labels.
    vectorizer_ : estimator or None
        The fitted vectorizer.
    estimators_ : list of estimators, length n_labels
        One fitted classifier per label.
    sparse_output_ : bool
        Whether predict returns a sparse array, as y was one.

    See Also
    --------
    sklearn_bertlam.BertLamClassifier : BERT with label attention.
    sklearn.multiclass.OneVsRestClassifier : The same idea on numeric features, without unknown labels.

    Examples
    --------
    >>> from sklearn_bertlam.baselines import BinaryRelevanceClassifier
    >>> clf = BinaryRelevanceClassifier()
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict(["a red wine"])
    array([[1, 1]])
    """

    _parameter_constraints: dict = {
        "vectorizer": [HasMethods(["fit_transform", "transform"]), StrOptions({"passthrough"}), None],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_jobs": [None, Integral],
    }

    def __init__(self, vectorizer=None, estimator=None, *, n_jobs=None):
        self.vectorizer = vectorizer
        self.estimator = estimator
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit the vectorizer, and one classifier per label.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,), or matrix of shape (n_texts, n_features)
            Raw texts, or numbers with ``vectorizer="passthrough"``.
        y : {array-like, sparse matrix, DataFrame} of shape (n_texts, n_labels)
            Indicator of 0 and 1. A label's classifier does not see the rows where the label is NaN; a ``vectorizer`` is
            given all of y, which only one that does without can stand where NaN is in it.
        sample_weight : array-like of shape (n_texts,), optional
            Non-negative weights, for classifiers that take them.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        InvalidTextError, InvalidTargetError
            If the input is not as described. Both are ValueErrors.
        """
        X = self._check_X(X, reset=True)
        targets = check_targets(y, _num_samples(X))
        classes, _ = check_label_names(None, targets.columns, targets.matrix.shape[1])
        check_label_counts(targets.matrix, classes)
        weights = None if sample_weight is None else check_sample_weight(sample_weight, _num_samples(X))
        if weights is not None:
            self._check_that_weights_are_taken(weights)
        vectorizer = self._make_vectorizer()
        features = X if vectorizer is None else vectorizer.fit_transform(X, targets.matrix)
        features = features.tocsr() if sp.issparse(features) else features
        columns = targets.matrix.tocsc()
        base = self._base_estimator()
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_label)(base, features, columns[:, [label]], weights) for label in range(len(classes))
        )
        self.vectorizer_, self.classes_ = vectorizer, classes
        self.n_labels_, self.sparse_output_ = len(classes), targets.is_sparse
        return self

    def get_metadata_routing(self):
        """Return who asks for which metadata; see scikit-learn's user guide on metadata routing.

        Returns
        -------
        routing : MetadataRouter or MetadataRequest
            ``fit`` hands on to the ``fit`` of ``estimator``, where one is given.
        """
        if self.estimator is None:
            return super().get_metadata_routing()
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add_self_request(self).add(estimator=self.estimator, method_mapping=to_fit)

    def _check_that_weights_are_taken(self, weights: np.ndarray) -> None:
        if _routing_enabled() and self.estimator is not None:
            takes_weights = "sample_weight" in process_routing(self, "fit", sample_weight=weights).estimator.fit
        else:
            takes_weights = has_fit_parameter(self._base_estimator(), "sample_weight")
        if not takes_weights:
            raise ValueError(f"sample_weight was given, but {self._base_estimator()!r} does not take it in fit.")

    def _check_X(self, X, reset: bool) -> Any:
        if self.vectorizer == "passthrough":
            return validate_data(self, X, accept_sparse="csr", reset=reset)
        return check_texts(X)

    def _make_vectorizer(self) -> Any:
        if self.vectorizer is None:
            return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        return None if self.vectorizer == "passthrough" else clone(self.vectorizer)

    def _base_estimator(self) -> Any:
        if self.estimator is None:
            return LogisticRegression(C=1000.0, solver="liblinear", random_state=0)
        if is_regressor(self.estimator):
            raise ValueError(f"estimator should be a classifier, got the regressor {self.estimator!r}.")
        return self.estimator

    def _features(self, X) -> Any:
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        return X if self.vectorizer_ is None else self.vectorizer_.transform(X)

    def decision_function(self, X):
        """Compute a score of every label for every text, positive where the label is predicted.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,), or matrix of shape (n_texts, n_features)
            Raw texts, or numbers with ``vectorizer="passthrough"``.

        Returns
        -------
        scores : ndarray of shape (n_texts, n_labels)
            The classifiers' decision functions; without them the log-odds of their probabilities; without these -1
            and 1.
        """
        features = self._features(X)
        return np.column_stack([_decide(estimator, features) for estimator in self.estimators_])

    @available_if(_predicts_probabilities)
    def predict_proba(self, X):
        """Compute the probability of every label for every text, where the binary classifier gives probabilities.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,), or matrix of shape (n_texts, n_features)
            Raw texts, or numbers with ``vectorizer="passthrough"``.

        Returns
        -------
        probabilities : ndarray of shape (n_texts, n_labels)
            Each between 0 and 1.
        """
        features = self._features(X)
        return np.column_stack([estimator.predict_proba(features)[:, 1] for estimator in self.estimators_])

    def predict(self, X):
        """Tell which labels apply to every text.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,), or matrix of shape (n_texts, n_features)
            Raw texts, or numbers with ``vectorizer="passthrough"``.

        Returns
        -------
        labels : {ndarray, csr_array} of int, shape (n_texts, n_labels)
            Indicator of 0 and 1; sparse where the fitted y was sparse.
        """
        features = self._features(X)
        labels = np.column_stack([estimator.predict(features) for estimator in self.estimators_]).astype(np.int64)
        return sp.csr_array(labels) if self.sparse_output_ else labels

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if isinstance(self.vectorizer, str) and self.vectorizer == "passthrough":
            tags.input_tags.string = False
            tags.input_tags.one_d_array = False
            tags.input_tags.two_d_array = True
            tags.input_tags.sparse = True
        return tags


class _Constant(BaseEstimator):
    """Stands in for the classifier of a label that always or never applies in training."""

    def __init__(self, value: int):
        self.value = value

    def predict(self, X) -> np.ndarray:
        return np.full(_num_samples(X), self.value)

    def predict_proba(self, X) -> np.ndarray:
        return np.tile([1.0 - self.value, self.value], (_num_samples(X), 1))

    def decision_function(self, X) -> np.ndarray:
        return np.full(_num_samples(X), (2.0 * self.value - 1.0) * _LARGEST_LOG_ODDS)


def _fit_label(estimator, features, column: sp.csc_array, sample_weight: np.ndarray | None) -> Any:
    target = column.toarray().ravel()
    known = ~np.isnan(target)
    if sample_weight is not None:
        known &= sample_weight > 0
    values = np.unique(target[known])
    if len(values) < 2:
        return _Constant(int(values[0]) if len(values) else 0)
    options = {} if sample_weight is None else {"sample_weight": sample_weight[known]}
    return clone(estimator).fit(features[known], target[known].astype(np.int64), **options)


def _decide(estimator, features) -> np.ndarray:
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(features)
    if not hasattr(estimator, "predict_proba"):
        return 2.0 * estimator.predict(features) - 1.0
    probabilities = estimator.predict_proba(features)[:, 1]
    with np.errstate(divide="ignore"):
        return np.clip(np.log(probabilities) - np.log1p(-probabilities), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)
