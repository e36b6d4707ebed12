import numpy as np
import pytest
import scipy.sparse as sp
from transformers import AutoTokenizer

from sklearn_bertlam._batches import TextDataset, TrainingBatches, by_length, pad
from sklearn_bertlam._tokens import tokenize


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


def test_padding_changes_no_token(tokenizer):
    texts = ["the printer is on fire", "", "thank you"]
    batch = pad(tokenize(tokenizer, texts, 32), np.array([2, 0, 1]))
    for row, text in enumerate(["thank you", "the printer is on fire", ""]):
        ids = tokenizer(text)["input_ids"]
        assert batch["input_ids"][row, : len(ids)].tolist() == ids
        assert (batch["input_ids"][row, len(ids) :] == tokenizer.pad_token_id).all()
        assert batch["attention_mask"][row].tolist() == [1] * len(ids) + [0] * (batch["input_ids"].shape[1] - len(ids))
        expected = list(range(1, len(ids) - 1)) or [0]  # no special tokens, but [CLS] where there is nothing else
        assert np.flatnonzero(batch["content_mask"][row]).tolist() == expected


def test_long_texts_are_cut_and_keep_their_last_special_token(tokenizer):
    tokens = tokenize(tokenizer, ["printer " * 100, "fire"], 10)
    assert tokens.lengths.tolist() == [10, 3]
    assert tokens.ids[9] == tokenizer.sep_token_id


@pytest.mark.parametrize("text", ["\ud800 fire", "a\x00b", "🔥", "\u200b", "ﷺ" * 20])
def test_any_string_can_be_tokenized(tokenizer, text):
    assert tokenize(tokenizer, [text], 16).lengths[0] >= 2


@pytest.mark.parametrize(("n", "batch_size"), [(1, 4), (7, 3), (500, 4)])
def test_every_text_is_in_one_batch_of_each_epoch(tokenizer, n, batch_size):
    texts = ["fire " * (1 + i % 20) for i in range(n)]
    weights = np.arange(n, dtype=np.float32)  # tells the texts apart
    data = TextDataset(tokenize(tokenizer, texts, 32), sp.csr_array(np.ones((n, 1), dtype=np.float32)), weights)
    batches = TrainingBatches(data, batch_size, np.random.RandomState(0))
    epochs = [[batch[1][1].numpy() for batch in batches] for _ in range(2)]
    for epoch in epochs:
        assert len(epoch) == len(batches)
        assert max(map(len, epoch)) <= batch_size
        assert sorted(np.concatenate(epoch)) == list(range(n))
    if n > batch_size:
        assert not all(np.array_equal(a, b) for a, b in zip(*epochs, strict=True))


def test_training_batches_hold_texts_of_like_length(tokenizer):
    rng = np.random.RandomState(0)
    texts = ["fire " * length for length in rng.randint(1, 60, 400)]
    data = TextDataset(
        tokenize(tokenizer, texts, 64), sp.csr_array(np.ones((400, 1), dtype=np.float32)), np.ones(400, dtype=np.float32)
    )
    padded = sum(batch[0]["input_ids"].numel() for batch in TrainingBatches(data, 8, rng))
    assert padded < 1.25 * data.lengths.sum()


def test_prediction_batches_cover_all_rows_within_the_token_budget():
    lengths = np.random.RandomState(0).randint(0, 9000, 300)
    batches = list(by_length(lengths))
    assert sorted(np.concatenate(batches)) == list(range(300))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= 8192 for rows in batches)
