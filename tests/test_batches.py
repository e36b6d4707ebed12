import numpy as np
import pytest
import scipy.sparse as sp
from transformers import AutoTokenizer

from sklearn_bertlam._batches import TextDataset, TextRows, TrainingBatches, pack
from sklearn_bertlam._tokens import tokenize


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


def test_packing_keeps_every_token_in_its_place(tokenizer):
    texts = ["the printer is on fire", "", "thank you"]
    batch = pack(tokenize(tokenizer, texts, 32), np.array([2, 0, 1]))
    grid = batch.to_grid(batch.ids, -1)
    assert len(batch) == 3
    assert sum(batch.lengths) == len(batch.ids)
    for row, text in enumerate(["thank you", "the printer is on fire", ""]):
        ids = tokenizer(text)["input_ids"]
        assert grid[row].tolist() == ids + [-1] * (grid.shape[1] - len(ids))
        expected = list(range(1, len(ids) - 1)) or [0]  # no special tokens, but [CLS] where there is nothing else
        assert np.flatnonzero(batch.content_mask[row]).tolist() == expected


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
    batches = [texts.tokens.lengths[texts.rows] for texts, _ in TrainingBatches(data, 8, rng)]
    assert sum(len(lengths) * lengths.max() for lengths in batches) < 1.25 * data.lengths.sum()
    assert all((np.diff(lengths) <= 0).all() for lengths in batches)


def test_texts_meet_others_of_like_length_in_every_epoch(tokenizer):
    ones = np.ones((40, 1), dtype=np.float32)
    data = TextDataset(tokenize(tokenizer, ["fire " * n for n in range(20, 60)], 64), sp.csr_array(ones), ones[:, 0])
    batches = TrainingBatches(data, 4, np.random.RandomState(0))
    first, second = ({frozenset(texts.rows.tolist()) for texts, _ in batches} for _ in range(2))
    assert len(first & second) < 5
    for met in first | second:
        assert max(met) - min(met) <= 12  # of texts 20 to 59 words long


def test_processes_share_every_batch(tokenizer):
    tokens = tokenize(tokenizer, ["fire " * (1 + i % 7) for i in range(50)], 32)
    data = TextDataset(tokens, sp.csr_array(np.ones((50, 1), dtype=np.float32)), np.arange(50, dtype=np.float32))

    def weights(process, n_processes):
        batches = TrainingBatches(data, 8, np.random.RandomState(3), process, n_processes)
        return [sorted(batch[1][1].tolist()) for batch in batches]

    together = [sorted(sum(parts, [])) for parts in zip(*(weights(process, 3) for process in range(3)), strict=True)]
    assert together == weights(0, 1)


def test_parts_cover_all_texts_within_the_token_budget(tokenizer):
    tokens = tokenize(tokenizer, ["fire " * (i % 60) for i in range(300)], 64)
    rows = np.argsort(-tokens.lengths, kind="stable")
    parts = list(TextRows(tokens, rows).parts(200))
    assert np.concatenate([np.arange(300)[part] for part, _ in parts]).tolist() == list(range(300))
    for part, packed in parts:
        assert tokens.lengths[rows[part]].sum() <= 200
        assert len(packed) == len(rows[part])
    assert [len(packed) for _, packed in TextRows(tokens, rows).parts(1)] == [1] * 300
    many_labels = TextRows(tokens, rows).parts(4096, values_per_text=2**23)
    assert [len(packed) for _, packed in many_labels] == [4] * 75


def test_training_batches_keep_texts_and_targets_together(tokenizer):
    tokens = tokenize(tokenizer, ["fire " * (1 + i % 7) for i in range(50)], 32)
    data = TextDataset(tokens, sp.csr_array(np.eye(50, dtype=np.float32)), np.arange(50, dtype=np.float32))
    for texts, (targets, weights) in TrainingBatches(data, 8, np.random.RandomState(0)):
        assert texts.rows.tolist() == targets.argmax(dim=1).tolist() == weights.int().tolist()


def test_parts_of_the_data_keep_texts_targets_and_weights_together(tokenizer):
    tokens = tokenize(tokenizer, ["fire " * (1 + i % 5) for i in range(20)], 32)
    data = TextDataset(tokens, sp.csr_array(np.eye(20, dtype=np.float32)), np.arange(20, dtype=np.float32))
    part = data.part(np.arange(0, 20, 2)).part(np.array([1, 3, 5]))  # rows of rows: 2, 6, 10
    other = part.with_tokens(tokenize(tokenizer, ["fire"] * 20, 32))
    for one, lengths in ((part, [3 + 2, 3 + 1, 3]), (other, [3, 3, 3])):
        assert len(one) == 3
        texts, (targets, weights) = one.batch(np.array([0, 1, 2]))
        assert texts.rows.tolist() == targets.argmax(dim=1).tolist() == weights.int().tolist()
        assert sorted(texts.rows) == [2, 6, 10]
        assert texts.tokens.lengths[texts.rows].tolist() == lengths
        assert one[1][0].rows.tolist() == [6]


@pytest.fixture
def forty_like_texts(tokenizer):
    ones = np.ones((40, 1), dtype=np.float32)
    return TextDataset(tokenize(tokenizer, ["fire"] * 40, 8), sp.csr_array(ones), ones[:, 0])


def test_texts_of_one_length_stay_in_order(tokenizer):
    ones = np.ones((400, 1), dtype=np.float32)
    data = TextDataset(tokenize(tokenizer, ["fire", "on fire"] * 200, 8), sp.csr_array(ones), ones[:, 0])
    assert data.batch(np.arange(400))[0].rows.tolist() == [*range(1, 400, 2), *range(0, 400, 2)]


def test_a_training_that_goes_on_leaves_out_what_it_has_seen_once(forty_like_texts):
    def epochs(skipped):
        batches = TrainingBatches(forty_like_texts, 8, np.random.RandomState(0), skipped=skipped)
        return [[batch[0].rows.tolist() for batch in batches] for _ in range(2)]

    (first, second), (rest, again) = epochs(None), epochs([3])
    assert rest == first[3:]
    assert again == second


# ----------------------------------------------------------------------------------------------------------- long texts


def test_head_and_tail_are_kept(tokenizer):
    words = "printer fire invoice thank you wrong for the is on my and".split()
    tokens = tokenize(tokenizer, [" ".join(words), "fire"], 9, long_text="head-tail")
    kept = tokenizer.decode(tokens.ids[:9], skip_special_tokens=True)
    assert kept == " ".join(words[:4] + words[-3:])
    assert tokens.lengths.tolist() == [9, 3]


@pytest.mark.parametrize("stride", [0, 1, 4])
@pytest.mark.parametrize("n_words", [1, 10, 11, 12, 17, 40])
def test_windows_give_every_token_once(tokenizer, stride, n_words):
    words = (["printer", "fire", "invoice", "thank", "you", "wrong", "is"] * 6)[:n_words]
    texts = ["thank you", " ".join(words)]
    tokens = tokenize(tokenizer, texts, 12, long_text="windows", stride=stride)
    batch = pack(tokens, np.array([1, 0]))
    grid = batch.to_grid(batch.ids, -1)
    for row, text in enumerate(texts[::-1]):
        ids = tokenizer(text)["input_ids"]
        assert grid[row, : len(ids)].tolist() == ids
        assert batch.content_mask[row].sum() == len(ids) - 2
    sequences = batch.lengths[: batch.n_sequences]
    assert max(sequences) <= 12
    starts = np.cumsum((0, *sequences))
    for start, stop in zip(starts, starts[1:], strict=False):
        assert batch.ids[start] == tokenizer.cls_token_id
        assert batch.ids[stop - 1] == tokenizer.sep_token_id
        assert batch.positions[start:stop].tolist() == list(range(stop - start))
    assert batch.n_sequences == 1 + max(1, -(-(n_words - stride) // (10 - stride)))


def test_windows_have_tokens_from_where_they_are_further_inside(tokenizer):
    tokens = tokenize(tokenizer, ["fire " * 16], 12, long_text="windows", stride=4)
    batch = pack(tokens, np.array([0]))
    position = batch.to_grid(batch.positions)[0]
    assert position[:18].tolist() == [0, *range(1, 9), *range(3, 11), 11]


def test_windows_are_limited_in_training(tokenizer):
    tokens = tokenize(tokenizer, ["fire " * 500], 12, long_text="windows", stride=2, most_windows=3)
    assert pack(tokens, np.array([0])).n_sequences == 3
    with pytest.raises(ValueError, match="Use a stride below 10"):
        tokenize(tokenizer, ["fire"], 12, long_text="windows", stride=10)
