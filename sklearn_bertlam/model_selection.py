"""Thresholds and splits for multi-label classifiers: any of them, not only those of this package."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.model_selection import BaseShuffleSplit, check_cv
from sklearn.model_selection._split import _BaseKFold, _validate_shuffle_split
from sklearn.utils import _safe_indexing, check_random_state, get_tags, indexable
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, _num_samples, check_is_fitted, has_fit_parameter

from ._multilabel import MultilabelClassifierMixin, in_order_of_labels, names_of_labels, one_column_per_label
from ._stratification import stratify
from ._thresholds import (
    SCORINGS,
    ScoredEntries,
    apply_threshold,
    best_threshold,
    best_thresholds,
    f1,
    scored_entries,
)
from ._validation import Targets, check_label_names, check_sample_weight, check_targets
from .exceptions import InvalidTargetError

__all__ = ["MultilabelStratifiedKFold", "MultilabelStratifiedShuffleSplit", "MultilabelThresholdClassifierCV"]


# --------------------------------------------------------------------------------------------------------------- splits


class MultilabelStratifiedKFold(_BaseKFold):
    """K-fold cross-validation in which every fold has its share of every label.

    Iterative stratification [1]_: the rarest label is shared out first, to the folds that miss it most. Folds differ in
    size by one document at most.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether chance decides between documents with the same labels, instead of their order.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling; only with ``shuffle=True``.
    order : {1, 2}, default=1
        With 2, pairs of labels have their share as well [2]_, which takes longer where there are many pairs.

    See Also
    --------
    MultilabelStratifiedShuffleSplit : Independent random splits.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.
    .. [2] P. Szymanski, T. Kajdanowicz, "A network perspective on stratification of multi-label data", LIDTA 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bertlam.model_selection import MultilabelStratifiedKFold
    >>> Y = np.array([[1, 0], [1, 1], [1, 0], [1, 1]])
    >>> for train, test in MultilabelStratifiedKFold(n_splits=2).split(Y, Y):
    ...     print(train, test)
    [2 3] [0 1]
    [0 1] [2 3]
    """

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None, order=1):
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)
        self.order = order

    def split(self, X, y, groups=None):
        """Yield the documents to train and to test on.

        Parameters
        ----------
        X : array-like of length n
            Only its length counts.
        y : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicator of 0 and 1.
        groups : object
            Ignored, with a warning.

        Yields
        ------
        train, test : ndarray of int
            Positions.

        Raises
        ------
        InvalidTargetError
            If y is not an indicator, or has NaN. It is a ValueError.
        """
        _warn_of_groups(self, groups)
        return super().split(X, y)

    def _iter_test_masks(self, X=None, y=None, groups=None):
        targets = _complete_indicator(y, _num_samples(X), self.order)
        sizes = np.full(self.n_splits, targets.shape[0] // self.n_splits)
        sizes[: targets.shape[0] % self.n_splits] += 1
        random_state = check_random_state(self.random_state) if self.shuffle else None
        folds = stratify(targets, sizes, random_state, self.order)
        for fold in range(self.n_splits):
            yield folds == fold


class MultilabelStratifiedShuffleSplit(BaseShuffleSplit):
    """Random splits in which both sides have their share of every label.

    Iterative stratification; see ``MultilabelStratifiedKFold``. The sizes are exact.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.
    test_size : float, int or None, default=None
        A share, or a number of documents; None is what ``train_size`` leaves, or 0.1.
    train_size : float, int or None, default=None
        A share, or a number of documents; None is what ``test_size`` leaves.
    random_state : int, RandomState instance or None, default=None
        Seed.
    order : {1, 2}, default=1
        With 2, pairs of labels have their share as well.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bertlam.model_selection import MultilabelStratifiedShuffleSplit
    >>> Y = np.array([[1, 0]] * 50 + [[0, 1]] * 10)
    >>> splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    >>> train, test = next(splitter.split(Y, Y))
    >>> Y[test].sum(axis=0)
    array([10,  2])
    """

    def __init__(self, n_splits=10, *, test_size=None, train_size=None, random_state=None, order=1):
        super().__init__(n_splits, test_size=test_size, train_size=train_size, random_state=random_state)
        self._default_test_size = 0.1
        self.order = order

    def split(self, X, y, groups=None):
        """Yield the documents to train and to test on; see ``MultilabelStratifiedKFold.split``.

        Parameters
        ----------
        X : array-like of length n
            Only its length counts.
        y : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicator of 0 and 1.
        groups : object
            Ignored, with a warning.

        Yields
        ------
        train, test : ndarray of int
            Positions, in random order.
        """
        _warn_of_groups(self, groups)
        return super().split(X, y)

    def _iter_indices(self, X, y=None, groups=None):
        targets = _complete_indicator(y, _num_samples(X), self.order)
        n = targets.shape[0]
        n_train, n_test = _validate_shuffle_split(n, self.test_size, self.train_size, self._default_test_size)
        random_state = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            parts = stratify(targets, np.array([n_train, n_test, n - n_train - n_test]), random_state, self.order)
            yield tuple(random_state.permutation(np.flatnonzero(parts == part)) for part in (0, 1))


def _warn_of_groups(splitter: Any, groups: Any) -> None:
    if groups is not None:
        warnings.warn(f"The groups parameter is ignored by {type(splitter).__name__}", UserWarning, stacklevel=3)


def _complete_indicator(y, n: int, order: int) -> sp.csr_array:
    if order not in (1, 2):
        raise ValueError(f"order should be 1 or 2, got {order!r}.")
    matrix = check_targets(y, n).matrix
    unknown = np.isnan(matrix.data)
    if unknown.any():
        raise InvalidTargetError(
            f"y has {int(unknown.sum())} NaN (unknown) entries, which cannot be shared out. Fill them, or drop their rows."
        )
    return matrix


# ----------------------------------------------------------------------------------------------------------- thresholds


def _has_scores(estimator: Any) -> bool:
    return hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")


def _offers(method: str) -> Any:
    """Offer a method where the classifier inside has it."""
    return available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), method))


class MultilabelThresholdClassifierCV(MultilabelClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Tune the decision threshold of any multi-label classifier by cross-validation.

    A classifier that predicts labels whose probability is above one half finds too few of those that are rare. F1 is
    highest at another threshold, usually a lower one, which is found exactly: every distinct score is considered.

    scikit-learn's ``TunedThresholdClassifierCV`` does this for binary problems.

    Parameters
    ----------
    estimator : object
        A classifier with ``predict_proba`` or ``decision_function`` that takes an indicator matrix, for instance
        ``BertLamClassifier``, ``OneVsRestClassifier`` or ``MLPClassifier``.
    scoring : {"f1_micro", "f1_macro", "f1_weighted", "f1_samples"}, default="f1_micro"
        What the threshold makes highest.
    per_label : bool, default=False
        One threshold for each label, instead of one for all. Needs many examples of every label; one without any has the
        threshold for all. Not with "f1_samples".
    min_labels : int, default=0
        Every document has at least so many labels: those with the highest scores, whatever the threshold.
    cv : int, splitter, iterable, "prefit" or None, default=None
        Where the scores come from that the threshold is tuned on. None: ``MultilabelStratifiedKFold`` with 5 folds; an
        int: so many of them. "prefit": ``estimator`` is fitted, and the data given to ``fit`` are for tuning only; it
        needs ``refit=False``.
    refit : bool, default=True
        Fit the classifier on all data once more. Without it, there has to be a single split, whose classifier is
        kept.
    n_jobs : int or None, default=None
        Folds that are fitted at once. A network uses all cores by itself.

    Attributes
    ----------
    estimator_ : object
        The fitted classifier.
    threshold_ : float or ndarray of shape (n_labels,)
        A label is predicted where its score is above it. Of the probability, where the classifier has one.
    best_score_ : float
        The score with tuned thresholds, cross-fitted: every fold is scored with thresholds from the other folds. NaN
        where there are fewer than two documents to tune on.
    classes_ : ndarray of shape (n_labels,)
        The labels.
    n_labels_ : int
        Number of labels.
    sparse_output_ : bool
        Whether predict returns a sparse array, as y was one.

    See Also
    --------
    sklearn.model_selection.TunedThresholdClassifierCV : For binary problems.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from sklearn_bertlam.model_selection import MultilabelThresholdClassifierCV
    >>> X, Y = make_multilabel_classification(random_state=0)
    >>> clf = MultilabelThresholdClassifierCV(OneVsRestClassifier(LogisticRegression()), min_labels=1).fit(X, Y)
    >>> int(clf.predict(X).sum(axis=1).min())
    1
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "scoring": [StrOptions(set(SCORINGS))],
        "per_label": ["boolean"],
        "min_labels": [Interval(Integral, 0, None, closed="left")],
        "cv": ["cv_object", StrOptions({"prefit"})],
        "refit": ["boolean"],
        "n_jobs": [Integral, None],
    }

    __metadata_request__fit = {"sample_weight": UNUSED}  # it only hands weights on

    def __init__(self, estimator, *, scoring="f1_micro", per_label=False, min_labels=0, cv=None, refit=True, n_jobs=None):
        self.estimator = estimator
        self.scoring = scoring
        self.per_label = per_label
        self.min_labels = min_labels
        self.cv = cv
        self.refit = refit
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **params):
        """Fit the classifier and tune its threshold.

        Parameters
        ----------
        X : {list of str, array-like, sparse matrix} of length n
            What the classifier takes.
        y : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicator of 0 and 1; NaN (unknown) where the classifier allows it.
        sample_weight : array-like of shape (n,), optional
            Weights for fitting the classifier. Thresholds are tuned without weights.
        **params : dict
            ``groups`` for the splitter, and anything else that the classifier takes in ``fit``, such as
            ``clf__sample_weight`` of a pipeline. With ``enable_metadata_routing=True``, those who ask for something get it.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        InvalidTargetError
            If y is not an indicator matrix. It is a ValueError.
        ValueError
            If the parameters do not fit each other or the data.
        """
        (X,) = indexable(list(X) if isinstance(X, Iterator) else X)
        targets = check_targets(y, _num_samples(X))
        weights = None if sample_weight is None else check_sample_weight(sample_weight, _num_samples(X))
        n_labels = targets.matrix.shape[1]
        self._check(n_labels)
        for_fit, for_split = self._routed(weights, params)
        y = y.to_pandas() if hasattr(y, "to_pandas") else y  # whose columns are names
        y = y.tocsr() if targets.is_sparse else y if hasattr(y, "iloc") else _plain(y, targets.matrix)
        splits = self._splits(X, targets, for_split)
        if self.cv == "prefit":
            fitted = [self.estimator]
        else:
            fitted = Parallel(n_jobs=self.n_jobs)(delayed(_fit)(self.estimator, X, y, for_fit, train) for train, _ in splits)
        targets = in_order_of_labels(targets, fitted[0])  # a classifier may have been fitted before, with another order
        entries, folds = self._held_out(fitted, X, targets.matrix, [test for _, test in splits])
        threshold, score = self._tune(entries), self._cross_fitted_score(entries, folds)
        self.estimator_ = _fit(self.estimator, X, y, for_fit) if self.refit else fitted[0]
        self.n_labels_, self.sparse_output_ = n_labels, targets.is_sparse
        known = names_of_labels(self.estimator_, n_labels)
        self.classes_ = check_label_names(None, targets.columns, n_labels)[0] if known is None else known
        self.threshold_, self.best_score_ = threshold, score
        return self

    def _check(self, n_labels: int) -> None:
        if not _has_scores(self.estimator):
            raise ValueError(f"estimator should have predict_proba or decision_function, got {self.estimator!r}.")
        if self.min_labels > n_labels:
            raise ValueError(f"min_labels={self.min_labels} is more than the {n_labels} labels that there are.")
        if self.per_label and self.scoring == "f1_samples":
            raise ValueError("scoring='f1_samples' has no threshold per label. Use per_label=False or another scoring.")
        if isinstance(self.cv, str) and self.refit:
            raise ValueError("cv='prefit' needs refit=False, because it says that the classifier is fitted already.")

    def get_metadata_routing(self):
        """Return who asks for which metadata; see scikit-learn's user guide on metadata routing.

        Returns
        -------
        routing : MetadataRouter
            ``fit`` hands on to the ``fit`` of ``estimator`` and the ``split`` of ``cv``.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        return router.add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))

    def _routed(self, weights: np.ndarray | None, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the classifier's ``fit`` and the splitter's ``split`` are given."""
        params = params if weights is None else {"sample_weight": weights, **params}
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            return routed.estimator.fit, routed.splitter.split
        if weights is not None and not has_fit_parameter(self.estimator, "sample_weight"):
            raise ValueError(f"sample_weight was given, but {self.estimator!r} does not take it in fit.")
        groups = params.pop("groups", None)
        return params, {} if groups is None else {"groups": groups}

    def _splits(self, X, targets: Targets, params: dict[str, Any]) -> list[tuple[np.ndarray | None, np.ndarray]]:
        if isinstance(self.cv, str):
            check_is_fitted(self.estimator)
            return [(None, np.arange(targets.matrix.shape[0]))]
        cv = 5 if self.cv is None else self.cv
        known: Any = sp.csr_array(targets.matrix == 1).astype(np.int8)
        if isinstance(cv, Integral):
            splitter: Any = MultilabelStratifiedKFold(cv)
        else:
            splitter, known = check_cv(cv), known if targets.is_sparse else known.toarray()
        splits: list = [(_positions(train), _positions(test)) for train, test in splitter.split(X, known, **params)]
        if not self.refit and len(splits) > 1:
            raise ValueError(
                f"refit=False needs a single split to take the classifier from; cv={self.cv!r} has {len(splits)}."
            )
        return splits

    def _held_out(self, fitted: list, X, targets: sp.csr_array, tests: list[np.ndarray]) -> tuple[ScoredEntries, np.ndarray]:
        """Return the documents that were not trained on, each with the scores it was given, and their folds."""
        parts = ((estimator, _safe_indexing(X, test)) for estimator, test in zip(fitted, tests, strict=True))
        scores = [_scores(estimator, part, targets.shape[1]) for estimator, part in parts]
        shown = targets[np.concatenate(tests)].toarray()
        return (
            scored_entries(shown, np.concatenate(scores), self.min_labels),
            np.repeat(np.arange(len(tests)), [len(test) for test in tests]),
        )

    def _tune(self, entries: ScoredEntries) -> float | np.ndarray:
        return (best_thresholds if self.per_label else best_threshold)(entries, self.scoring)

    def _cross_fitted_score(self, entries: ScoredEntries, folds: np.ndarray) -> float:
        if len(folds) < 2:
            return np.nan
        if folds[-1] == 0:  # a single split: its documents are shared out once more
            folds = np.arange(len(folds)) % 5
        scores = [
            f1(_rows(entries, folds == fold), self._tune(_rows(entries, folds != fold)), self.scoring)
            for fold in np.unique(folds)
        ]
        return float(np.average(scores, weights=np.bincount(folds)[np.unique(folds)]))

    def predict(self, X):
        """Tell which labels apply: those whose score is above ``threshold_``, and the ``min_labels`` best ones.

        Parameters
        ----------
        X : {list of str, array-like, sparse matrix} of length n
            What the classifier takes.

        Returns
        -------
        labels : {ndarray, csr_array} of int, shape (n, n_labels)
            Indicator of 0 and 1; sparse where the fitted y was sparse.
        """
        check_is_fitted(self)
        labels = apply_threshold(_scores(self.estimator_, X, self.n_labels_), self.threshold_, self.min_labels)
        return sp.csr_array(labels, dtype=np.int64) if self.sparse_output_ else labels.astype(np.int64)

    @_offers("predict_proba")
    def predict_proba(self, X):
        """Compute the probability of every label, as the classifier does.

        Parameters
        ----------
        X : {list of str, array-like, sparse matrix} of length n
            What the classifier takes.

        Returns
        -------
        probabilities : ndarray of shape (n, n_labels)
            Each between 0 and 1.
        """
        check_is_fitted(self)
        return one_column_per_label(self.estimator_.predict_proba(X), self.estimator_, self.n_labels_)

    @_offers("decision_function")
    def decision_function(self, X):
        """Compute the score of every label, as the classifier does.

        Parameters
        ----------
        X : {list of str, array-like, sparse matrix} of length n
            What the classifier takes.

        Returns
        -------
        scores : ndarray of shape (n, n_labels)
            Not compared with ``threshold_`` where the classifier has probabilities.
        """
        check_is_fitted(self)
        return one_column_per_label(self.estimator_.decision_function(X), self.estimator_, self.n_labels_)

    @property
    def n_features_in_(self):
        """Number of features that the classifier was fitted on, where it counts them."""
        check_is_fitted(self)
        return self.estimator_.n_features_in_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "threshold_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _plain(y: Any, targets: sp.csr_array) -> np.ndarray:
    """Return y as an array of numbers."""
    array = np.asarray(y)
    return targets.toarray() if array.dtype == object or isinstance(y, np.ma.MaskedArray) else array


def _positions(rows: np.ndarray) -> np.ndarray:
    return np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)


def _rows(entries: ScoredEntries, rows: np.ndarray) -> ScoredEntries:
    return ScoredEntries(*(part[rows] for part in entries))


def _fit(estimator, X, y, params: dict[str, Any], rows: np.ndarray | None = None) -> Any:
    if rows is not None:
        params = _check_method_params(X, params, rows)
        X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
    return clone(estimator).fit(X, y, **params)


def _scores(estimator: Any, X, n_labels: int) -> np.ndarray:
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "decision_function"
    return one_column_per_label(getattr(estimator, method)(X), estimator, n_labels)
