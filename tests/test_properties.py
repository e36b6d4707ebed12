"""Properties that hold whatever the texts and the parameters are."""

import numpy as np
import scipy.sparse as sp
from conftest import LABELS, TEXTS, Y
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklearn_bertlam import BertLamClassifier

some_texts = st.lists(st.one_of(st.sampled_from(TEXTS), st.text(max_size=60)), min_size=1, max_size=8)
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
slow = settings(quick, max_examples=5)


def fit(tiny_encoder, device, y=Y, **parameters):
    settings = {
        "max_length": 32,
        "max_epochs": 1,
        "batch_size": 4,
        "device": device,
        "precision": "float32",
        "random_state": 0,
    }
    return BertLamClassifier(tiny_encoder, **(settings | parameters)).fit(TEXTS, y)


@quick
@given(some_texts)
def test_predictions_do_not_depend_on_company(fitted, tolerance, texts):
    """Neither the batch, nor the padding, nor the order of the texts matters."""
    together = fitted.decision_function(texts)
    alone = np.vstack([fitted.decision_function([text]) for text in texts])
    np.testing.assert_allclose(together, alone, **tolerance)
    np.testing.assert_allclose(fitted.decision_function(texts[::-1])[::-1], together, **tolerance)


@quick
@given(some_texts)
def test_probabilities_are_probabilities(fitted, texts):
    probabilities = fitted.predict_proba(texts)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@slow
@given(st.permutations(range(3)), st.sampled_from(["label-wise", "document", "mean", "cls"]))
def test_permuting_labels_permutes_outputs(tiny_encoder, device, tolerance, order, attention):
    parameters = {"attention": attention, "dropout": 0.0}
    expected = fit(tiny_encoder, device, label_names=LABELS, **parameters).decision_function(TEXTS)[:, order]
    names = [LABELS[label] for label in order]
    permuted = fit(tiny_encoder, device, Y[:, order], label_names=names, **parameters).decision_function(TEXTS)
    # Adam makes much of the last bits of small gradients
    np.testing.assert_allclose(permuted, expected, atol=200 * tolerance["atol"], rtol=100 * tolerance["rtol"])


@slow
@given(st.lists(st.lists(st.sampled_from([0, 1]), min_size=3, max_size=3), min_size=12, max_size=12))
def test_dense_and_sparse_targets_give_the_same_model(tiny_encoder, device, rows):
    y = np.array(rows)
    y[0] = 1  # every label has a positive
    dense, sparse = fit(tiny_encoder, device, y), fit(tiny_encoder, device, sp.csr_array(y))
    np.testing.assert_array_equal(dense.predict_proba(TEXTS), sparse.predict_proba(TEXTS))
