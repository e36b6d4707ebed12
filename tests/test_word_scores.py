"""Counts of word-pieces beside the network."""

import itertools
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from conftest import TEXTS, Y
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import average_precision_score

from sklearn_bertlam import _word_scores
from sklearn_bertlam._batches import TextDataset
from sklearn_bertlam._tokens import RaggedTokens
from sklearn_bertlam._word_scores import WordScores

N_PIECES, PAD, CLS, SEP = 40, 0, 1, 2


@pytest.fixture
def tokens():
    """Thirty texts between [CLS] and [SEP], some of which repeat a word-piece, and an empty one."""
    random = np.random.RandomState(0)
    texts = [[CLS, *random.randint(3, 30, random.randint(1, 25)), SEP] for _ in range(30)] + [[CLS, SEP]]
    offsets = np.cumsum([0, *map(len, texts)])
    return RaggedTokens(np.concatenate(texts).astype(np.int32), offsets, n_prefix=1, n_suffix=1, pad_id=PAD)


@pytest.fixture
def data(tokens):
    targets = (np.random.RandomState(1).uniform(size=(len(tokens), 3)) < [0.4, 0.2, 0.0]).astype(np.float32)
    return TextDataset(tokens, sp.csr_array(targets), np.ones(len(tokens), dtype=np.float32))


@pytest.fixture
def words(data):
    words = WordScores(N_PIECES, 3)
    words.fit(data, 0.5, np.random.RandomState(0))
    return words


def text_of(tokens, row):
    return tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]


def pairs_in(text):
    return [N_PIECES * first + second for first, second in itertools.pairwise(text.tolist())]


def counts_of(tokens, pairs):
    contents = [text_of(tokens, row)[1:-1] for row in range(len(tokens))]
    of_pieces = np.stack([np.bincount(content, minlength=N_PIECES) for content in contents])
    of_pairs = np.array([[pairs_in(content).count(pair) for pair in pairs] for content in contents])
    return np.hstack([of_pieces, of_pairs])


def test_features_are_those_of_scikit_learns_tfidf(words, tokens):
    features = TfidfTransformer(sublinear_tf=True).fit_transform(counts_of(tokens, words.pairs)).toarray()
    expected = features @ words.weight.numpy() + words.bias.numpy()
    words.share[:] = 1
    mixed = words.mix(np.full((len(tokens), 3), 7.0, dtype=np.float32), tokens, np.arange(len(tokens)))
    np.testing.assert_allclose(mixed, expected, rtol=1e-4, atol=1e-5)


def test_pairs_are_those_that_at_least_three_texts_have(words, tokens, data, monkeypatch):
    n_texts = Counter(pair for row in range(len(tokens)) for pair in set(pairs_in(text_of(tokens, row)[1:-1])))
    expected = sorted(pair for pair, n in n_texts.items() if n >= 3)
    assert len(expected) > 3
    assert words.pairs.tolist() == expected
    most_frequent = max(n_texts.values())
    monkeypatch.setattr(_word_scores, "_MOST_WEIGHTS_OF_PAIRS", 3)  # one for each label
    words.fit(data, 0.5, np.random.RandomState(0))
    (pair,) = words.pairs.tolist()
    assert n_texts[pair] == most_frequent


def test_many_tokens_are_counted_in_parts(words, data, monkeypatch):
    expected = words.mix(np.zeros((len(data), 3), dtype=np.float32), data.tokens, data.rows)
    monkeypatch.setattr(_word_scores, "_MOST_TOKENS_COUNTED", 30)
    in_parts = WordScores(N_PIECES, 3)
    in_parts.fit(data, 0.5, np.random.RandomState(0))
    got = in_parts.mix(np.zeros((len(data), 3), dtype=np.float32), data.tokens, data.rows)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_labels_with_more_examples_have_a_larger_share_and_unseen_ones_none(words, data):
    n = data.targets.sum(axis=0)
    np.testing.assert_allclose(words.share, 0.5 * n / (n + 20), rtol=1e-6)
    assert words.share[2] == 0


def test_padded_texts_give_the_same_as_ragged_ones(words, tokens):
    rows = np.array([4, 30, 7, 7, 0])
    logits = np.random.RandomState(2).normal(size=(len(rows), 3)).astype(np.float32)
    terms, counts = torch.full((2, len(rows), 50), PAD)
    known = words.pairs.tolist()
    for place, row in enumerate(rows):
        text = text_of(tokens, row)
        pairs = [N_PIECES + known.index(pair) for pair in pairs_in(text) if pair in known]
        of_text = torch.tensor([*text, *pairs]).unique(return_counts=True)
        for grid, values in zip((terms, counts), of_text, strict=True):
            grid[place, : len(values)] = values
    assert (terms >= N_PIECES).any()
    padded = words(torch.from_numpy(logits), terms, counts)
    np.testing.assert_allclose(padded, words.mix(logits, tokens, rows), rtol=1e-4, atol=1e-5)


def test_word_pieces_that_training_has_not_seen_say_nothing(words):
    unknown = RaggedTokens(np.array([CLS, 35, 36, SEP], dtype=np.int32), np.array([0, 4]), 1, 1, PAD)
    words.share[:] = 1
    mixed = words.mix(np.zeros((1, 3), dtype=np.float32), unknown, np.arange(1))
    np.testing.assert_allclose(mixed[0], words.bias, rtol=1e-6)


def test_words_help_where_the_encoder_knows_nothing(make_classifier):
    precisions = [
        average_precision_score(Y, clf.fit(TEXTS, Y).decision_function(TEXTS), average="micro")
        for clf in (make_classifier(max_epochs=0, head_init="random", word_share=share) for share in (0.0, 0.5))
    ]
    assert precisions[1] > precisions[0] + 0.1


def test_a_share_of_zero_is_the_network_alone(make_classifier):
    clf = make_classifier(word_share=0.0).fit(TEXTS, Y)
    assert clf.module_.words is None
    with_words = make_classifier(word_share=0.4).fit(TEXTS, Y)
    assert not np.allclose(clf.decision_function(TEXTS), with_words.decision_function(TEXTS), atol=1e-3)


def test_words_of_all_windows_count(make_classifier):
    clf = make_classifier(long_text="windows", max_length=8, stride=2, max_epochs=0, word_share=0.9).fit(TEXTS, Y)
    texts = ["my my my my my my my my my printer", "my my my my my my my my my my"]
    with_printer, without = clf.decision_function(texts)[:, 0]
    assert with_printer > without + 0.1


@pytest.mark.parametrize("long_text", ["truncate", "head-tail"])
def test_words_count_that_the_network_does_not_read(make_classifier, long_text):
    clf = make_classifier(long_text=long_text, max_length=8, max_epochs=0, word_share=0.9).fit(TEXTS, Y)
    start, end = "my " * 20, " my" * 20
    with_printer, without = clf.decision_function([start + "printer" + end, start + "my" + end])[:, 0]
    assert with_printer > without + 0.1
    without_words = make_classifier(long_text=long_text, max_length=8, max_epochs=0, word_share=0.0).fit(TEXTS, Y)
    same = without_words.decision_function([start + "printer" + end, start + "my" + end])
    np.testing.assert_allclose(same[0], same[1], atol=1e-5)


def test_words_behind_the_cut_are_learned_from(make_classifier):
    texts, y = [f"my my my my my my {word}" for word in ("printer", "invoice") * 10], np.tile([[1], [0]], (10, 1))
    clf = make_classifier(max_length=5, max_epochs=0).fit(texts, y)
    assert clf.decision_function(texts[:1]) > clf.decision_function(texts[1:2]) + 0.1


@pytest.mark.parametrize("long_text", ["truncate", "head-tail"])
def test_a_cut_changes_neither_which_words_and_pairs_count_nor_how_much(make_classifier, long_text):
    texts = [f"my my your my your your {end} now" for end in ("red printer", "blue invoice", "", "red") * 6]
    y = np.tile([[1, 0], [0, 1], [0, 0], [1, 1]], (6, 1))
    cut, whole = (
        make_classifier(long_text=long_text, max_length=length, max_epochs=0, word_share=0.9).fit(texts, y).module_.words
        for length in (7, 64)
    )
    assert len(whole.pairs) > 5
    for name, values in whole.state_dict().items():
        torch.testing.assert_close(cut.state_dict()[name], values, msg=name)


def test_unknown_entries_and_texts_without_weight_do_not_count(make_classifier):
    unknown, weights = Y.astype(float), np.ones(len(TEXTS))
    unknown[:6, 0] = np.nan
    weights[:6] = 0
    weights[6:] = 2
    flipped = np.vstack([1 - Y[:6], Y[6:]])
    words = [
        make_classifier(max_epochs=0).fit(TEXTS, targets, sample_weight=weight).module_.words
        for targets, weight in ((unknown, None), (Y, weights), (flipped, weights))
    ]
    assert words[0].share[0] < words[0].share[1]
    torch.testing.assert_close(words[1].weight, words[2].weight)
    torch.testing.assert_close(words[1].share, words[2].share)


@pytest.mark.parametrize("share", [-0.1, 1.0, "half"])
def test_shares_that_are_none_are_refused(make_classifier, share):
    with pytest.raises(ValueError, match="word_share"):
        make_classifier(word_share=share).fit(TEXTS, Y)


def test_texts_of_no_weight_change_nothing(data, words):
    weighted = WordScores(N_PIECES, 3)
    twice = RaggedTokens(
        np.r_[data.tokens.ids, data.tokens.ids[::-1]],
        np.r_[data.tokens.offsets, data.tokens.offsets[-1] + np.cumsum(data.tokens.lengths[::-1])],
        n_prefix=1,
        n_suffix=1,
        pad_id=PAD,
    )
    n = len(data.tokens)
    weights = np.r_[np.ones(n), np.zeros(n)].astype(np.float32)
    weighted.fit(TextDataset(twice, sp.csr_array(sp.vstack([data.targets] * 2)), weights), 0.5, np.random.RandomState(0))
    for name, values in words.state_dict().items():
        np.testing.assert_array_equal(weighted.state_dict()[name], values, err_msg=name)


def test_texts_without_any_word_can_be_learned_from(make_classifier):
    clf = make_classifier().fit(["", " ", "", ""], np.array([[0, 1], [1, 0], [0, 1], [1, 1]]))
    assert np.isfinite(clf.predict_proba(["", "fire"])).all()
