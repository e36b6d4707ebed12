import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import LABELS, TEXTS, Y
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from sklearn_bertlam.baselines import BinaryRelevanceClassifier
from sklearn_bertlam.exceptions import LabelWithoutPositivesWarning


def test_learns_the_training_texts():
    clf = BinaryRelevanceClassifier().fit(TEXTS, pd.DataFrame(Y, columns=LABELS))
    np.testing.assert_array_equal(clf.predict(TEXTS), Y)
    assert clf.classes_.tolist() == LABELS
    assert clf.score(TEXTS, Y) == 1.0
    np.testing.assert_array_equal(clf.predict_proba(TEXTS) > 0.5, Y)
    np.testing.assert_array_equal(clf.decision_function(TEXTS) > 0, Y)


def test_equals_one_vs_rest_on_numbers():
    X, labels = make_multilabel_classification(80, n_classes=4, random_state=0)
    expected = OneVsRestClassifier(LogisticRegression()).fit(X, labels)
    clf = BinaryRelevanceClassifier("passthrough", LogisticRegression()).fit(X, labels)
    np.testing.assert_allclose(clf.predict_proba(X), expected.predict_proba(X))
    assert clf.n_features_in_ == X.shape[1]
    clf.fit(sp.csr_array(X), labels)
    np.testing.assert_allclose(clf.predict_proba(X), expected.predict_proba(X), rtol=1e-3)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_any_vectorizer_and_classifier(n_jobs):
    clf = BinaryRelevanceClassifier(CountVectorizer(), MultinomialNB(), n_jobs=n_jobs).fit(TEXTS, Y)
    assert (clf.predict(TEXTS) == Y).mean() > 0.9
    np.testing.assert_array_equal(clf.decision_function(TEXTS) > 0, clf.predict_proba(TEXTS) > 0.5)


def test_predict_proba_is_there_when_the_classifier_has_it():
    assert hasattr(BinaryRelevanceClassifier(), "predict_proba")
    clf = BinaryRelevanceClassifier(estimator=LinearSVC())
    assert not hasattr(clf, "predict_proba")
    clf.fit(TEXTS, np.c_[np.ones(12), Y])
    assert not hasattr(clf, "predict_proba")
    assert clf.decision_function(TEXTS).shape == (12, 4)


def test_zero_weights_leave_rows_out():
    weights = 1 - Y[:, 0]  # of the texts that count, none has the first label
    clf = BinaryRelevanceClassifier().fit(TEXTS, Y, weights)
    assert (clf.predict(TEXTS)[:, 0] == 0).all()
    with pytest.raises(ValueError, match="does not take it"):
        BinaryRelevanceClassifier(estimator=KNeighborsClassifier()).fit(TEXTS, Y, weights)


def test_vectorizers_may_return_any_sparse_format():
    expected = BinaryRelevanceClassifier(CountVectorizer()).fit(TEXTS, Y).predict_proba(TEXTS)
    as_coo = make_pipeline(CountVectorizer(), FunctionTransformer(sp.coo_array, accept_sparse=True))
    np.testing.assert_allclose(BinaryRelevanceClassifier(as_coo).fit(TEXTS, Y).predict_proba(TEXTS), expected)


def test_vectorizers_may_look_at_the_labels():
    vectorizer = make_pipeline(CountVectorizer(), SelectKBest(chi2, k=3))
    assert BinaryRelevanceClassifier(vectorizer).fit(TEXTS, Y).predict(TEXTS).shape == Y.shape


@pytest.mark.parametrize("estimator", [None, LinearSVC(), MultinomialNB()])
def test_labels_with_one_class_only(estimator):
    constant = np.c_[np.zeros(12, dtype=int), Y, np.ones(12, dtype=int)]
    clf = BinaryRelevanceClassifier(estimator=estimator)
    with pytest.warns(LabelWithoutPositivesWarning):
        clf.fit(TEXTS, constant)
    predicted = clf.predict(["anything"])
    assert predicted[0, 0] == 0
    assert predicted[0, -1] == 1
    assert clf.decision_function(["anything"])[0, [0, -1]].tolist() == [-50.0, 50.0]  # beyond any label that was learned


def test_unknown_targets_are_left_out():
    unknown = Y.astype(float)
    unknown[:4, 0] = np.nan
    clf = BinaryRelevanceClassifier(CountVectorizer(vocabulary=LABELS), LogisticRegression()).fit(TEXTS, unknown)
    expected = LogisticRegression().fit(CountVectorizer(vocabulary=LABELS).transform(TEXTS[4:]), Y[4:, 0])
    np.testing.assert_allclose(clf.estimators_[0].coef_, expected.coef_)


def test_sample_weight_reaches_the_classifiers():
    weights = np.r_[np.zeros(6), np.ones(6)]
    clf = BinaryRelevanceClassifier(CountVectorizer(vocabulary=LABELS), LogisticRegression()).fit(TEXTS, Y, weights)
    expected = LogisticRegression().fit(CountVectorizer(vocabulary=LABELS).transform(TEXTS[6:]), Y[6:, 1])
    np.testing.assert_allclose(clf.estimators_[1].coef_, expected.coef_, atol=1e-4)


def test_sparse_targets_give_sparse_predictions():
    predicted = BinaryRelevanceClassifier().fit(TEXTS, sp.csr_matrix(Y)).predict(TEXTS)
    assert sp.issparse(predicted)
    np.testing.assert_array_equal(predicted.toarray(), Y)


def test_a_regressor_is_refused():
    with pytest.raises(ValueError, match="should be a classifier"):
        BinaryRelevanceClassifier(estimator=Ridge()).fit(TEXTS, Y)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was():
    clf = BinaryRelevanceClassifier().fit(TEXTS, Y)
    before = clf.predict_proba(TEXTS)
    for texts, y in ((TEXTS, np.c_[Y, np.full(len(Y), np.nan)]), (["?"] * len(Y), np.c_[Y, Y[:, 0]])):
        with pytest.raises(ValueError, match="NaN in every row|empty vocabulary"):
            clf.fit(texts, y)
        np.testing.assert_array_equal(clf.predict_proba(TEXTS), before)
        assert clf.n_labels_ == len(clf.classes_) == 3


@pytest.mark.parametrize("parameters", [{"vectorizer": "tfidf"}, {"estimator": 3}, {"n_jobs": 1.5}])
def test_bad_parameters(parameters):
    with pytest.raises(ValueError, match="parameter of BinaryRelevanceClassifier"):
        BinaryRelevanceClassifier(**parameters).fit(TEXTS, Y)


class OnlyPredicts(ClassifierMixin, BaseEstimator):
    """A classifier that decides and says nothing more: by whether the first feature is positive."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (X[:, 0] > 0).astype(int)


def test_a_classifier_that_only_decides_will_do():
    X = np.array([[1.0], [-1.0], [2.0], [-3.0]])
    clf = BinaryRelevanceClassifier("passthrough", OnlyPredicts()).fit(X, [[1, 0], [0, 1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(clf.predict(X), [[1, 1], [0, 0], [1, 1], [0, 0]])
    assert not hasattr(clf, "predict_proba")


def test_a_label_that_all_or_none_have_is_certain():
    targets = np.column_stack([Y[:, 0], np.ones(len(Y), int), np.zeros(len(Y), int)])
    clf = BinaryRelevanceClassifier(estimator=KNeighborsClassifier(1))
    with pytest.warns(LabelWithoutPositivesWarning):
        clf.fit(TEXTS, targets)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), targets)


def test_weights_go_where_they_are_asked_for():
    weights = np.arange(12) % 3 + 1.0
    default = BinaryRelevanceClassifier().fit(TEXTS, Y, sample_weight=weights).decision_function(TEXTS)
    base = LogisticRegression(C=1000.0, solver="liblinear", random_state=0)
    with config_context(enable_metadata_routing=True):
        for estimator, expected in (
            (None, default),
            (clone(base).set_fit_request(sample_weight=True), default),
            (make_pipeline(clone(base).set_fit_request(sample_weight=True)), default),
        ):
            clf = BinaryRelevanceClassifier(estimator=estimator).fit(TEXTS, Y, sample_weight=weights)
            np.testing.assert_allclose(clf.decision_function(TEXTS), expected)
        with pytest.raises(UnsetMetadataPassedError):
            BinaryRelevanceClassifier(estimator=base).fit(TEXTS, Y, sample_weight=weights)
        with pytest.raises(ValueError, match="does not take it in fit"):
            BinaryRelevanceClassifier(estimator=clone(base).set_fit_request(sample_weight=False)).fit(
                TEXTS, Y, sample_weight=weights
            )
        refuses = BinaryRelevanceClassifier().set_fit_request(sample_weight=False)
        scoring = get_scorer("f1_micro").set_score_request(sample_weight=True)
        search = GridSearchCV(refuses, {"n_jobs": [None]}, cv=2, scoring=scoring).fit(TEXTS, Y, sample_weight=weights)
        without = BinaryRelevanceClassifier().fit(TEXTS, Y).decision_function(TEXTS)
        np.testing.assert_allclose(search.decision_function(TEXTS), without)
