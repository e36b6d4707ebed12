"""The estimator among scikit-learn's tools."""

import numpy as np
import pytest
from conftest import LABELS, TEXTS, Y
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.metrics import average_precision_score, f1_score, get_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_html_repr, get_tags

from sklearn_bertlam.baselines import BinaryRelevanceClassifier

MORE_TEXTS, MORE_Y = TEXTS * 3, np.tile(Y, (3, 1))


class Lowercase(TransformerMixin, BaseEstimator):
    """Needs nothing but its input."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return [text.lower() for text in X]

    def __sklearn_is_fitted__(self):
        return True


def test_cross_val_score(make_classifier):
    scores = cross_val_score(make_classifier(), MORE_TEXTS, MORE_Y, scoring="f1_micro", cv=3)
    assert scores.shape == (3,)
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("n_labels", [1, 2])
@pytest.mark.parametrize("scoring", ["f1_micro", "roc_auc", "average_precision"])
def test_one_and_two_labels_are_no_binary_problem_to_scorers(make_classifier, n_labels, scoring):
    clf = make_classifier(max_epochs=0).fit(TEXTS, Y[:, :n_labels])
    flat = BinaryRelevanceClassifier().fit(TEXTS, Y[:, :n_labels])
    expected = {
        "f1_micro": lambda estimator: f1_score(Y[:, :n_labels], estimator.predict(TEXTS), average="micro"),
        "roc_auc": lambda estimator: roc_auc_score(Y[:, :n_labels], estimator.decision_function(TEXTS)),
        "average_precision": lambda estimator: average_precision_score(Y[:, :n_labels], estimator.predict_proba(TEXTS)),
    }[scoring]
    for estimator in (clf, flat):
        if n_labels > 1 or scoring != "f1_micro":
            assert get_scorer(scoring)(estimator, TEXTS, Y[:, :n_labels]) == pytest.approx(expected(estimator))


def test_cross_val_predict_and_ranking_metrics(make_classifier):
    probabilities = cross_val_predict(make_classifier(), MORE_TEXTS, MORE_Y, method="predict_proba", cv=2)
    assert probabilities.shape == MORE_Y.shape
    scores = cross_val_score(make_classifier(), MORE_TEXTS, MORE_Y, scoring="average_precision", cv=2)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_in_a_pipeline(make_classifier, n_jobs):
    pipeline = Pipeline([("lower", Lowercase()), ("clf", make_classifier(max_epochs=1))])
    grid = {"clf__attention": ["mean", "label-wise"], "clf__threshold": [0.3, 0.5]}
    search = GridSearchCV(pipeline, grid, scoring="f1_micro", cv=2, n_jobs=n_jobs).fit(MORE_TEXTS, MORE_Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(TEXTS).shape == Y.shape


def test_grid_search_over_the_two_classifiers(make_classifier, capfd):
    pipeline = Pipeline([("lower", Lowercase()), ("clf", make_classifier())])
    grid = {"clf": [make_classifier(max_epochs=1), BinaryRelevanceClassifier()]}
    search = GridSearchCV(pipeline, grid, scoring="f1_micro", cv=2).fit(MORE_TEXTS, MORE_Y)
    assert search.predict_proba(TEXTS).shape == Y.shape
    assert capfd.readouterr() == ("", "")


def test_swapping_in_a_pipeline(make_classifier):
    pipeline = Pipeline([("lower", Lowercase()), ("clf", make_classifier())]).fit(TEXTS, Y)
    neural = pipeline.predict_proba(TEXTS)
    pipeline.set_params(clf=BinaryRelevanceClassifier()).fit(TEXTS, Y)
    assert pipeline.predict_proba(TEXTS).shape == neural.shape
    assert pipeline.predict(TEXTS).shape == pipeline.decision_function(TEXTS).shape == Y.shape


def test_tags(make_classifier):
    for estimator in (make_classifier(), BinaryRelevanceClassifier()):
        tags = get_tags(estimator)
        assert tags.estimator_type == "classifier"
        assert tags.input_tags.string and tags.input_tags.one_d_array and not tags.input_tags.two_d_array
        assert tags.target_tags.multi_output and not tags.target_tags.single_output
        assert tags.classifier_tags.multi_label and not tags.classifier_tags.multi_class
    assert get_tags(BinaryRelevanceClassifier(vectorizer="passthrough")).input_tags.two_d_array


def test_set_params_then_fit(make_classifier):
    clf = make_classifier().set_params(attention="mean", max_epochs=3, label_names=LABELS)
    assert clf.fit(TEXTS, Y).n_iter_ == 3


def test_representations(fitted):
    assert "BertLamClassifier(" in repr(fitted)
    page = estimator_html_repr(fitted)
    assert "BertLamClassifier" in page
    if "Fitted attributes" in page:  # scikit-learn shows them since 1.9
        for name in ("classes_", "class_count_", "n_samples_seen_", "threshold_"):
            assert name in page
