"""Splits and thresholds for any multi-label classifier."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import TEXTS, Y
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import f1_score, get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from sklearn_bertlam._thresholds import best_threshold, scored_entries
from sklearn_bertlam.baselines import BinaryRelevanceClassifier
from sklearn_bertlam.exceptions import InvalidTargetError
from sklearn_bertlam.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
    MultilabelThresholdClassifierCV,
)


@pytest.fixture(scope="module")
def long_tail():
    """2,000 documents with 40 labels, from frequent to rare, and some documents without any."""
    random = np.random.RandomState(0)
    return (random.rand(2000, 40) < 0.4 / np.arange(1, 41) ** 1.2).astype(int)


@pytest.fixture(scope="module")
def numbers():
    return make_multilabel_classification(300, n_classes=6, n_labels=2, random_state=0)


def spread(y, parts):
    """Return the largest difference between a label's share in a part and its share overall, in documents."""
    return max(np.abs(y[part].sum(axis=0) - y.mean(axis=0) * len(part)).max() for part in parts)


# --------------------------------------------------------------------------------------------------------------- splits


def test_folds_share_every_label(long_tail):
    folds = [test for _, test in MultilabelStratifiedKFold(5).split(long_tail, long_tail)]
    assert sorted(np.concatenate(folds)) == list(range(2000))
    assert {len(fold) for fold in folds} == {400}
    assert spread(long_tail, folds) < 2
    random = [test for _, test in KFold(5, shuffle=True, random_state=0).split(long_tail)]
    assert spread(long_tail, random) > 5


def test_folds_of_any_size_differ_by_one_at_most(long_tail):
    sizes = [len(test) for _, test in MultilabelStratifiedKFold(7).split(long_tail[:1003], long_tail[:1003])]
    assert sum(sizes) == 1003
    assert max(sizes) - min(sizes) == 1


def test_pairs_are_shared_in_the_second_order(long_tail):
    both = (long_tail[:, 0] & long_tail[:, 1])[:, None]
    first, second = (
        [test for _, test in MultilabelStratifiedKFold(5, order=order).split(long_tail, long_tail)] for order in (1, 2)
    )
    assert spread(both, second) < 2 < spread(both, first)
    assert spread(long_tail, second) < 4
    first, second = (
        next(MultilabelStratifiedShuffleSplit(1, test_size=0.2, random_state=0, order=order).split(long_tail, long_tail))
        for order in (1, 2)
    )
    share = both.mean()
    errors = [abs(both[test].mean() - share) for _, test in (first, second)]
    assert errors[1] < errors[0] / 2


def test_shuffling_is_seeded(long_tail):
    def folds(**parameters):
        return [test.tolist() for _, test in MultilabelStratifiedKFold(3, **parameters).split(long_tail, long_tail)]

    assert folds() == folds()
    assert folds(shuffle=True, random_state=1) == folds(shuffle=True, random_state=1)
    assert folds(shuffle=True, random_state=1) != folds(shuffle=True, random_state=2)
    with pytest.raises(ValueError, match="random_state"):
        MultilabelStratifiedKFold(3, random_state=1)


@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_matrix, np.ndarray.tolist], ids=lambda one: one.__name__)
def test_containers_of_targets_do_not_matter(long_tail, container):
    expected = [test.tolist() for _, test in MultilabelStratifiedKFold(3).split(long_tail, long_tail)]
    given = [test.tolist() for _, test in MultilabelStratifiedKFold(3).split(long_tail, container(long_tail))]
    assert given == expected


def test_shuffle_splits_have_the_sizes_asked_for(long_tail):
    splitter = MultilabelStratifiedShuffleSplit(3, test_size=0.25, train_size=100, random_state=0)
    splits = list(splitter.split(long_tail, long_tail))
    assert splitter.get_n_splits() == 3
    for train, test in splits:
        assert (len(train), len(test)) == (100, 500)
        assert not set(train) & set(test)
        assert spread(long_tail, [test]) < 2
    assert sorted(splits[0][1]) != sorted(splits[1][1])  # other documents, not another order of the same
    again = splitter.split(long_tail, long_tail)
    assert [[part.tolist() for part in split] for split in again] == [[part.tolist() for part in split] for split in splits]
    assert len(next(MultilabelStratifiedShuffleSplit(1).split(long_tail, long_tail))[1]) == 200


def test_splits_work_as_cv(numbers):
    X, y = numbers
    for cv in (MultilabelStratifiedKFold(3), MultilabelStratifiedShuffleSplit(3, random_state=0)):
        scores = cross_val_score(OneVsRestClassifier(LogisticRegression()), X, y, cv=cv, scoring="f1_micro")
        assert (scores > 0.5).all()


@pytest.mark.parametrize("splitter", [MultilabelStratifiedKFold(3), MultilabelStratifiedShuffleSplit(3)])
def test_splits_refuse_what_they_cannot_share(splitter):
    y = Y.astype(float)
    y[0, 0] = np.nan
    with pytest.raises(InvalidTargetError) as caught:
        next(splitter.split(TEXTS, y))
    assert str(caught.value) == "y has 1 NaN (unknown) entries, which cannot be shared out. Fill them, or drop their rows."
    with pytest.raises(ValueError, match="inconsistent"):
        next(splitter.split(TEXTS, Y[:5]))
    with pytest.raises(InvalidTargetError, match="shape"):
        next(splitter.split(TEXTS, Y[:, 0]))
    with pytest.raises(ValueError, match=r"^order should be 1 or 2, got 3\.$"):
        next(clone_with(splitter, order=3).split(TEXTS, Y))


def clone_with(splitter, **attributes):
    from copy import copy

    other = copy(splitter)
    other.__dict__.update(attributes)
    return other


def test_more_folds_than_documents_are_refused():
    with pytest.raises(ValueError, match="greater"):
        next(MultilabelStratifiedKFold(13).split(TEXTS, Y))


# ----------------------------------------------------------------------------------------------------------- thresholds

CLASSIFIERS = {
    "one-vs-rest": OneVsRestClassifier(LogisticRegression()),
    "linear SVM": OneVsRestClassifier(LinearSVC()),
    "MLP": MLPClassifier(max_iter=30, random_state=0),
    "forest": RandomForestClassifier(10, random_state=0),
    "multi-output": MultiOutputClassifier(LogisticRegression()),
    "binary relevance": BinaryRelevanceClassifier(vectorizer="passthrough"),
}


@pytest.fixture(params=list(CLASSIFIERS))
def classifier(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield clone(CLASSIFIERS[request.param])


@pytest.mark.parametrize("per_label", [False, True])
def test_any_classifier_can_be_tuned(classifier, numbers, per_label):
    X, y = numbers
    y = y * (np.random.RandomState(1).rand(*y.shape) < 0.5)  # rarer labels
    clf = MultilabelThresholdClassifierCV(classifier, per_label=per_label, cv=3, scoring="f1_macro").fit(X[:200], y[:200])
    plain = clone(classifier).fit(X[:200], y[:200])
    tuned, untuned = (f1_score(y[200:], one.predict(X[200:]), average="macro", zero_division=0) for one in (clf, plain))
    assert tuned > untuned
    assert abs(clf.best_score_ - tuned) < 0.15
    assert np.shape(clf.threshold_) == ((6,) if per_label else ())
    assert clf.predict(X[:3]).shape == (3, 6)
    assert clf.classes_.shape == (6,)


def test_texts_sparse_targets_and_names(make_classifier):
    pd = pytest.importorskip("pandas")
    texts, y = TEXTS * 3, pd.DataFrame(np.tile(Y, (3, 1)), columns=["printer", "invoice", "thank"])
    clf = MultilabelThresholdClassifierCV(BinaryRelevanceClassifier(), cv=3).fit(texts, y)
    assert clf.classes_.tolist() == list(y.columns)
    assert clf.predict_proba(texts).shape == clf.decision_function(texts).shape == (36, 3)
    sparse = MultilabelThresholdClassifierCV(BinaryRelevanceClassifier(), cv=3).fit(texts, sp.csr_array(y.to_numpy()))
    assert sp.issparse(sparse.predict(texts))
    np.testing.assert_array_equal(sparse.predict(texts).toarray(), clf.predict(texts))
    network = MultilabelThresholdClassifierCV(make_classifier(), cv=2, min_labels=1).fit(texts, y)
    assert (network.predict(["fire", "thank you"]).sum(axis=1) >= 1).all()


def test_unknown_entries_are_left_out(numbers):
    X, y = numbers
    hidden = np.where(np.random.RandomState(0).rand(*y.shape) < 0.3, np.nan, y)
    clf = MultilabelThresholdClassifierCV(BinaryRelevanceClassifier(vectorizer="passthrough"), cv=3).fit(X, hidden)
    assert f1_score(y, clf.predict(X), average="micro") > 0.6


def test_prefit_and_single_splits(numbers):
    X, y = numbers
    base = OneVsRestClassifier(LogisticRegression()).fit(X[:200], y[:200])
    clf = MultilabelThresholdClassifierCV(base, cv="prefit", refit=False).fit(X[200:], y[200:])
    assert clf.estimator_ is base
    assert 0.5 < clf.best_score_ <= 1
    single = ShuffleSplit(1, random_state=0)
    clf = MultilabelThresholdClassifierCV(clone(base), cv=single, refit=False).fit(X, y)
    assert len(next(single.split(X))[0]) == 270
    np.testing.assert_array_equal(
        clf.predict_proba(X), clone(base).fit(X[next(single.split(X))[0]], y[next(single.split(X))[0]]).predict_proba(X)
    )
    with pytest.raises(NotFittedError):
        MultilabelThresholdClassifierCV(clone(base), cv="prefit", refit=False).fit(X, y)


def test_prefit_takes_named_columns_in_any_order():
    frame = pd.DataFrame(Y, columns=["c", "a", "b"])
    fitted = BinaryRelevanceClassifier().fit(TEXTS, frame)
    tuned, same = (
        MultilabelThresholdClassifierCV(fitted, cv="prefit", refit=False, per_label=True).fit(TEXTS, y)
        for y in (frame, frame[["a", "b", "c"]])
    )
    np.testing.assert_array_equal(tuned.threshold_, same.threshold_)
    assert tuned.best_score_ == same.best_score_


def test_a_classifier_that_stays_as_it_was_fitted_takes_named_columns_in_any_order():
    frame = pd.DataFrame(Y, columns=["c", "a", "b"])
    frozen = FrozenEstimator(BinaryRelevanceClassifier().fit(TEXTS, frame))
    tuned, same = (
        MultilabelThresholdClassifierCV(frozen, cv=2, per_label=True).fit(TEXTS, y) for y in (frame, frame[["a", "b", "c"]])
    )
    np.testing.assert_array_equal(tuned.threshold_, same.threshold_)
    assert tuned.best_score_ == same.best_score_


@pytest.mark.parametrize("base", [OneVsRestClassifier(LogisticRegression()), MultiOutputClassifier(LogisticRegression())])
def test_columns_that_are_numbers_are_not_taken_for_positions(numbers, base):
    X, y = numbers
    frame = pd.DataFrame(y, columns=[5, 0, 1, 4, 2, 3])
    tuned = MultilabelThresholdClassifierCV(base, cv=2).fit(X, frame)
    assert tuned.classes_.tolist() == frame.columns.tolist()
    assert tuned.score(X, frame) == tuned.score(X, frame[[0, 1, 2, 3, 4, 5]]) == (tuned.predict(X) == y).all(axis=1).mean()
    fitted = clone(base).fit(X, frame)
    by_frame, by_array = (
        MultilabelThresholdClassifierCV(fitted, cv="prefit", refit=False, per_label=True).fit(X, z) for z in (frame, y)
    )
    np.testing.assert_array_equal(by_frame.threshold_, by_array.threshold_)


def test_a_single_label_that_nothing_had_in_training_has_probability_zero(numbers):
    X, y = numbers
    never = RandomForestClassifier(n_estimators=2, random_state=0).fit(X, np.zeros(len(X), dtype=int))
    clf = MultilabelThresholdClassifierCV(never, cv="prefit", refit=False).fit(X, y[:, :1])
    np.testing.assert_array_equal(clf.predict_proba(X), 0)
    scored = MultilabelThresholdClassifierCV(OneVsRestClassifier(LinearSVC()), cv=2).fit(X, y[:, :1]).decision_function(X)
    assert len(np.unique(scored)) > 100


def test_splitters_and_targets_of_many_kinds(numbers):
    X, y = numbers
    base = OneVsRestClassifier(LogisticRegression())
    halves = np.arange(len(X)) % 2 == 0
    by_mask, by_number = (
        MultilabelThresholdClassifierCV(base, cv=cv).fit(X, y)
        for cv in ([(halves, ~halves)], [(np.flatnonzero(halves), np.flatnonzero(~halves))])
    )
    assert by_mask.threshold_ == by_number.threshold_
    stratified = MultilabelThresholdClassifierCV(base, cv=StratifiedKFold(2)).fit(X, y[:, :1])
    assert stratified.predict(X).shape == (len(X), 1)
    as_objects = MultilabelThresholdClassifierCV(base, cv=2).fit(X, y.astype(object))
    assert as_objects.threshold_ == MultilabelThresholdClassifierCV(base, cv=2).fit(X, y).threshold_


def test_named_columns_of_any_frame_reach_the_classifier():
    table = pytest.importorskip("pyarrow").table(dict(zip(["c", "a", "b"], Y.T, strict=True)))
    clf = MultilabelThresholdClassifierCV(BinaryRelevanceClassifier(), cv=2).fit(TEXTS, table)
    assert clf.classes_.tolist() == clf.estimator_.classes_.tolist() == ["c", "a", "b"]


def test_a_failed_fit_leaves_it_as_it_was(numbers):
    X, y = numbers
    clf = MultilabelThresholdClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=2).fit(X, y)
    expected = clf.predict(X)
    with pytest.raises(ValueError):
        clf.set_params(cv=1000).fit(X, y[:, :2])
    np.testing.assert_array_equal(clf.predict(X), expected)


def test_it_can_be_searched_over(numbers):
    X, y = numbers
    clf = MultilabelThresholdClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=2)
    search = GridSearchCV(clf, {"estimator__estimator__C": [0.1, 1.0], "min_labels": [0, 1]}, scoring="f1_micro", cv=2)
    assert search.fit(X, y).best_score_ > 0.6


def test_sample_weights_reach_the_classifier(numbers):
    X, y = numbers
    weights = np.r_[np.ones(150), np.zeros(150)]
    base = BinaryRelevanceClassifier(vectorizer="passthrough")
    clf = MultilabelThresholdClassifierCV(base, cv=3).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(clf.predict_proba(X), clone(base).fit(X[:150], y[:150]).predict_proba(X), atol=1e-3)
    X = np.column_stack([np.arange(len(X)), X])
    MultilabelThresholdClassifierCV(FirstColumnIsWeight(), cv=3).fit(X, y, sample_weight=X[:, 0])
    with pytest.raises(ValueError, match="sample_weight"):
        MultilabelThresholdClassifierCV(MLPNoWeights()).fit(X, y, sample_weight=weights)


class FirstColumnIsWeight(BinaryRelevanceClassifier):
    def __init__(self):
        super().__init__(vectorizer="passthrough")

    def fit(self, X, y, sample_weight=None):
        np.testing.assert_array_equal(sample_weight, X[:, 0])
        return super().fit(X, y)


class MLPNoWeights(OneVsRestClassifier):
    def __init__(self):
        super().__init__(LogisticRegression())

    def fit(self, X, y):
        return super().fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_labels": 7}, "min_labels=7 is more than the 6 labels that there are."),
        (
            {"scoring": "f1_samples", "per_label": True},
            "scoring='f1_samples' has no threshold per label. Use per_label=False or another scoring.",
        ),
        ({"cv": "prefit"}, "cv='prefit' needs refit=False, because it says that the classifier is fitted already."),
        ({"cv": 3, "refit": False}, "refit=False needs a single split to take the classifier from; cv=3 has 3."),
        (
            {"estimator": MultiOutputClassifier(Perceptron())},
            "estimator should have predict_proba or decision_function, got MultiOutputClassifier(estimator=Perceptron()).",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused(numbers, parameters, message):
    with pytest.raises(ValueError) as caught:
        MultilabelThresholdClassifierCV(**{"estimator": OneVsRestClassifier(LogisticRegression())} | parameters).fit(
            *numbers
        )
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("parameters", "message"), [({"scoring": "accuracy"}, "'scoring' parameter"), ({"cv": 400}, "greater")]
)
def test_what_scikit_learn_refuses(numbers, parameters, message):
    with pytest.raises(ValueError, match=message):
        MultilabelThresholdClassifierCV(OneVsRestClassifier(LogisticRegression()), **parameters).fit(*numbers)


def test_the_threshold_and_its_score_by_hand(numbers):
    """One threshold is tuned on the scores of all folds; each fold is scored by one tuned on the others."""
    X, y = numbers
    base, splitter = OneVsRestClassifier(LogisticRegression()), MultilabelStratifiedKFold(3)
    clf = MultilabelThresholdClassifierCV(base, cv=3, scoring="f1_macro").fit(X, y)
    folds = [test for _, test in splitter.split(X, y)]
    scores = cross_val_predict(
        base, X, y, cv=[(np.setdiff1d(np.arange(300), test), test) for test in folds], method="predict_proba"
    )
    assert clf.threshold_ == best_threshold(scored_entries(y, scores), "f1_macro")
    expected = []
    for test in folds:
        others = np.setdiff1d(np.arange(300), test)
        threshold = best_threshold(scored_entries(y[others], scores[others]), "f1_macro")
        expected.append(f1_score(y[test], scores[test] > threshold, average="macro"))
    assert clf.best_score_ == pytest.approx(np.mean(expected))


def test_one_document_to_tune_on_has_no_score(numbers):
    X, y = numbers
    base = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    assert np.isnan(MultilabelThresholdClassifierCV(base, cv="prefit", refit=False).fit(X[:1], y[:1]).best_score_)
    assert 0 <= MultilabelThresholdClassifierCV(base, cv="prefit", refit=False).fit(X[:2], y[:2]).best_score_ <= 1


def test_methods_are_those_of_the_classifier(numbers):
    clf = MultilabelThresholdClassifierCV(OneVsRestClassifier(LinearSVC()), cv=2)
    for one in (clf, clf.fit(*numbers)):
        assert hasattr(one, "decision_function")
        assert not hasattr(one, "predict_proba")


def test_the_reported_score_is_that_of_chance_on_noise():
    """Thresholds tuned on noise look good where they were tuned, and cross-fitted no better than predicting everything."""
    random = np.random.RandomState(0)
    X, y = random.rand(200, 5), (random.rand(200, 30) < 0.1).astype(int)
    clf = MultilabelThresholdClassifierCV(OneVsRestClassifier(LogisticRegression()), per_label=True, cv=4).fit(X, y)
    everything = f1_score(y.ravel(), np.ones(y.size))
    assert clf.best_score_ < everything + 0.03


class Scores(ClassifierMixin, BaseEstimator):
    """Gives what it was told to."""

    def __init__(self, scores):
        self.scores = scores

    def fit(self, X, y):
        self.classes_ = np.arange(y.shape[1])
        return self

    def decision_function(self, X):
        return self.scores

    def predict(self, X):
        raise NotImplementedError


def test_a_list_of_scores_per_label_will_do():
    scores = [np.array([3.0, 1.0, -1.0, -2.0]), np.array([-1.0, 2.0, 1.0, -3.0])]
    y = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    fitted = Scores(scores).fit(None, y)
    clf = MultilabelThresholdClassifierCV(fitted, cv="prefit", refit=False).fit(np.zeros((4, 1)), y)
    np.testing.assert_array_equal(clf.predict(np.zeros((4, 1))), y)


def test_a_classifier_of_other_labels_is_refused():
    clf = MultilabelThresholdClassifierCV(Scores(np.zeros((4, 3))).fit(None, np.zeros((4, 3))), cv="prefit", refit=False)
    with pytest.raises(ValueError, match="scores 3 labels, but y has 2 columns"):
        clf.fit(np.zeros((4, 1)), [[1, 0], [1, 1], [0, 1], [0, 0]])


def test_pairs_of_labels_do_not_matter_where_no_document_has_two():
    y = np.eye(3, dtype=int)[np.arange(30) % 3]
    for _, test in MultilabelStratifiedKFold(5, order=2).split(y, y):
        np.testing.assert_array_equal(y[test].sum(axis=0), [2, 2, 2])


# ------------------------------------------------------------------------------------------------------------- metadata


class NotesWeights(MLPClassifier):
    """A classifier that tells whether it was given weights."""

    def fit(self, X, y, sample_weight=None):
        self.weights_ = sample_weight
        return super().fit(X, y)


@pytest.fixture
def notes_weights():
    return NotesWeights(hidden_layer_sizes=(), max_iter=1)


of_few_steps = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@of_few_steps
def test_weights_go_where_they_are_asked_for(numbers, notes_weights):
    X, y = numbers
    weights = np.arange(len(y)) % 2 + 1.0
    with config_context(enable_metadata_routing=True):
        asks = clone(notes_weights).set_fit_request(sample_weight=True)
        does_not = clone(notes_weights).set_fit_request(sample_weight=False)
        fitted = MultilabelThresholdClassifierCV(asks, cv=2).fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(fitted.estimator_.weights_, weights)
        pipeline = make_pipeline(FunctionTransformer(), asks)
        fitted = MultilabelThresholdClassifierCV(pipeline, cv=2).fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(fitted.estimator_[-1].weights_, weights)
        with pytest.raises(TypeError, match="not routed to any object"):
            MultilabelThresholdClassifierCV(does_not, cv=2).fit(X, y, sample_weight=weights)
        with pytest.raises(UnsetMetadataPassedError):
            MultilabelThresholdClassifierCV(notes_weights, cv=2).fit(X, y, sample_weight=weights)
        scoring = get_scorer("f1_micro").set_score_request(sample_weight=False)
        search = GridSearchCV(MultilabelThresholdClassifierCV(asks, cv=2), {"per_label": [True]}, cv=2, scoring=scoring)
        search.fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(search.best_estimator_.estimator_.weights_, weights)


@of_few_steps
def test_parameters_of_fit_reach_a_pipeline(numbers, notes_weights):
    X, y = numbers
    weights = np.arange(len(y)) % 2 + 1.0
    pipeline = make_pipeline(FunctionTransformer(), notes_weights)
    split = [(np.arange(100), np.arange(100, 200))]
    tuned = MultilabelThresholdClassifierCV(pipeline, cv=split, refit=False).fit(X, y, notesweights__sample_weight=weights)
    np.testing.assert_array_equal(tuned.estimator_[-1].weights_, weights[:100])


@pytest.mark.parametrize("enable_metadata_routing", [False, True])
def test_groups_reach_the_splitter(numbers, enable_metadata_routing):
    X, y = numbers
    groups = np.arange(len(y)) % 10
    with config_context(enable_metadata_routing=enable_metadata_routing):
        tuned = MultilabelThresholdClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=GroupKFold(2))
        tuned.fit(X, y, groups=groups)
    splits = list(GroupKFold(2).split(X, y, groups))
    same = MultilabelThresholdClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=splits).fit(X, y)
    assert tuned.threshold_ == same.threshold_


@pytest.mark.parametrize("splitter", [MultilabelStratifiedKFold(2), MultilabelStratifiedShuffleSplit(2)])
def test_groups_are_not_ignored_without_a_word(splitter):
    with pytest.warns(UserWarning, match=f"groups parameter is ignored by {type(splitter).__name__}"):
        splitter.split(TEXTS, Y, groups=np.arange(12))
