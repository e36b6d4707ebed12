import gzip
import struct

import numpy as np
import pytest
import torch
from conftest import TEXTS, Y

from sklearn_bertlam.baselines import TextCNNClassifier
from sklearn_bertlam.exceptions import WordVectorsError

VECTORS = {"printer": [1.0, 2.0, 3.0], "invoice": [-1.0, 0.5, 0.25], "unheard": [9.0, 9.0, 9.0]}


def text(header):
    lines = [" ".join([word, *map(str, numbers)]) for word, numbers in VECTORS.items()]
    return "\n".join([f"{len(VECTORS)} 3", *lines] if header else lines).encode() + b"\n"


def binary(end=b""):
    words = (word.encode() + b" " + struct.pack("<3f", *numbers) + end for word, numbers in VECTORS.items())
    return b"3 3\n" + b"".join(words)


FILES = {
    "word2vec.txt": text(header=True),
    "glove.txt": text(header=False),
    "word2vec.txt.gz": gzip.compress(text(header=True), mtime=0),
    "word2vec.bin": binary(),
    "with-newlines.bin": binary(end=b"\n"),
    "word2vec.bin.gz": gzip.compress(binary(), mtime=0),
}


def fit(path, **parameters):
    return TextCNNClassifier(embedding_size=3, n_filters=2, max_epochs=0, word_vectors=path, **parameters).fit(TEXTS, Y)


@pytest.mark.parametrize("name", FILES)
def test_training_starts_from_the_vectors_of_a_file(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    clf = fit(tmp_path / name, random_state=0)
    vocabulary, table = clf.tokenizer_.get_vocab(), clf.module_.embedding.weight.detach().numpy()
    np.testing.assert_allclose(table[vocabulary["printer"]], VECTORS["printer"])
    np.testing.assert_allclose(table[vocabulary["invoice"]], VECTORS["invoice"])
    assert np.abs(table[vocabulary["thank"]]).max() < 1  # not in the file: small and random
    assert "unheard" not in vocabulary


def test_word_vectors_are_trained_on(tmp_path):
    (tmp_path / "glove.txt").write_bytes(FILES["glove.txt"])
    clf = TextCNNClassifier(embedding_size=3, n_filters=2, max_epochs=3, word_vectors=str(tmp_path / "glove.txt"))
    clf.fit(TEXTS, Y)
    row = clf.module_.embedding.weight.detach().numpy()[clf.tokenizer_.get_vocab()["printer"]]
    assert not np.array_equal(row, np.float32(VECTORS["printer"]))


def test_words_that_were_never_seen_have_a_vector_that_was_trained():
    before, after = (TextCNNClassifier(max_epochs=n, random_state=0).fit(TEXTS, Y) for n in (0, 1))
    unknown = after.tokenizer_.unk_token_id
    vectors = [clf.module_.embedding.weight[unknown] for clf in (before, after)]
    assert (vectors[0] - vectors[1]).abs().max() > 1e-4


def test_rare_words_are_hidden_in_training_only():
    texts = ["often " * 400, "once"]
    clf = TextCNNClassifier(embedding_size=1, n_filters=1, max_epochs=0, random_state=0).fit(texts, [[1, 0], [0, 1]])
    words = clf.module_.embedding
    words.weight.data = torch.arange(len(clf.tokenizer_), dtype=torch.float32)[:, None]  # every word tells its number
    often, once, unknown = clf.tokenizer_.convert_tokens_to_ids(["often", "once", "[UNK]"])
    torch.manual_seed(0)
    for word, share in ((often, 0.0), (once, 0.2)):
        ids = torch.full((10_000,), word)
        assert (words.train()(ids) == unknown).float().mean() == pytest.approx(share, abs=0.02)
        assert (words.eval()(ids) == word).all()


def test_gensim_writes_what_is_read(tmp_path):
    models = pytest.importorskip("gensim.models", reason="needs gensim")
    vectors = models.KeyedVectors(3)
    vectors.add_vectors(list(VECTORS), np.array(list(VECTORS.values()), dtype=np.float32))
    for name in ("gensim.txt", "gensim.bin"):
        vectors.save_word2vec_format(str(tmp_path / name), binary=name.endswith(".bin"))
        clf = fit(tmp_path / name)
        row = clf.module_.embedding.weight.detach().numpy()[clf.tokenizer_.get_vocab()["printer"]]
        np.testing.assert_allclose(row, VECTORS["printer"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, "missing.txt"),
        ("size.txt", b"printer 1 2\n", "set embedding_size=2"),
        ("header.txt", b"1 5\nprinter 1 2 3 4 5\n", "set embedding_size=5"),
        ("words.txt", b"the 1 2 3\nprinter 1 two 3\n", "line 2"),
        ("nan.txt", b"printer 1 nan 3\n", "line 1"),
        ("cut.bin", binary()[:-4], "ends within word 3 of 3"),
        ("empty.bin", b"", "does not start"),
        ("text.bin", text(header=False), "does not start"),
        ("not.txt.gz", b"plain", "not.txt.gz"),
        ("cut.txt.gz", gzip.compress(text(header=True) * 50, mtime=0)[:-20], "cut.txt.gz"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WordVectorsError, match=message):
        fit(tmp_path / name)
