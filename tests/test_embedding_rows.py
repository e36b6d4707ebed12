"""Training only the rows of the embedding table that occur."""

import numpy as np
import pytest
import torch
from conftest import LABELS, TEXTS, Y

from sklearn_bertlam import _embedding_rows

SETTINGS = {"dropout": 0.0, "weight_decay": 0.0, "label_names": LABELS, "early_stopping": True, "validation_fraction": 0.25}


def table(clf):
    return clf.module_.encoder.get_input_embeddings().weight.detach()


def rows_of(clf, texts):
    return sorted({i for ids in clf.tokenizer_(list(texts))["input_ids"] for i in ids})


def test_the_result_is_that_of_training_the_whole_table(make_classifier, monkeypatch):
    some = make_classifier(**SETTINGS).fit(TEXTS, Y)
    monkeypatch.setattr(_embedding_rows, "_WORTH_IT", 0.0)
    whole = make_classifier(**SETTINGS).fit(TEXTS, Y)
    np.testing.assert_allclose(some.predict_proba(TEXTS), whole.predict_proba(TEXTS), atol=1e-5)
    torch.testing.assert_close(table(some), table(whole), atol=1e-5, rtol=0)
    assert some.history_[-1]["loss"] == pytest.approx(whole.history_[-1]["loss"], abs=1e-5)


def test_word_pieces_that_do_not_occur_keep_their_vectors(make_classifier):
    start = make_classifier(label_names=LABELS, max_epochs=0).fit(TEXTS, Y)
    clf = make_classifier(label_names=LABELS, weight_decay=0.1).fit(TEXTS, Y)
    changed = (table(clf) != table(start)).any(dim=1)
    occur = torch.zeros_like(changed)
    occur[rows_of(clf, [*TEXTS, *LABELS])] = True
    assert not occur.all()
    assert changed.any() and not changed[~occur].any()


def test_words_of_later_texts_are_known(make_classifier):
    clf = make_classifier(label_names=LABELS, warm_start=True).fit(TEXTS[:6], Y[:6])
    assert np.isfinite(clf.predict_proba(TEXTS)).all()
    clf.partial_fit(TEXTS, Y)
    assert type(clf.module_.encoder.get_input_embeddings()) is torch.nn.Embedding
    assert clf.module_.label_tokens.ids.max() < len(table(clf))
