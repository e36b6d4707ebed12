import gzip
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sklearn_bertlam.datasets import load_aapd, load_jsonl_dir, load_rcv1_v2, load_support_requests
from sklearn_bertlam.exceptions import DatasetFormatError, DatasetNotFoundError

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def five_grams(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


# ------------------------------------------------------------------------------------------------------ support requests


def test_support_requests_are_as_described():
    requests = load_support_requests()
    assert len(requests.data) >= 400
    assert requests.target.shape == (len(requests.data), 12)
    assert all(20 <= len(text.split()) <= 80 for text in requests.data)
    assert set(requests.target.sum(axis=1)) == {1, 2, 3, 4}
    assert requests.target.sum(axis=0).min() >= 30
    assert list(requests.label_descriptions) == requests.target_names.tolist()


def test_no_two_support_requests_share_half_of_their_five_grams():
    grams = [five_grams(text) for text in load_support_requests().data]
    owners = {}
    for position, own in enumerate(grams):
        for gram in own:
            owners.setdefault(gram, []).append(position)
    shared = Counter((a, b) for group in owners.values() for a in group for b in group if a < b)
    assert all(count < min(len(grams[a]), len(grams[b])) / 2 for (a, b), count in shared.items())


def test_support_requests_split_is_fixed_and_complete():
    train, test = load_support_requests(subset="train"), load_support_requests(subset="test")
    assert sorted(train.data + test.data) == sorted(load_support_requests().data)
    assert not set(train.data) & set(test.data)
    assert train.target.sum(axis=0).min() >= 30


def test_support_requests_as_frame():
    X, y = load_support_requests(return_X_y=True, as_frame=True)
    requests = load_support_requests(as_frame=True)
    assert X.tolist() == requests.frame["text"].tolist()
    assert y.columns.tolist() == requests.target_names.tolist()
    np.testing.assert_array_equal(requests.frame.iloc[:, 1:], load_support_requests(return_X_y=True)[1])
    with pytest.raises(ValueError, match="subset"):
        load_support_requests(subset="val")


# ------------------------------------------------------------------------------------------------------------ JSON lines


def write_lines(file, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write_lines(tmp_path / "train.jsonl.gz", [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": ["y"], "id": 7}])
    write_lines(tmp_path / "test.jsonl", [{"text": "c", "labels": []}, {"text": "d", "labels": ["z"]}])
    return tmp_path


def test_jsonl_folder(folder):
    data = load_jsonl_dir(folder)
    assert data.target_names.tolist() == ["y", "x", "z"]  # by frequency in training, then those of other splits
    assert data.train.data == ["a", "b"]
    assert data.train.target.toarray().tolist() == [[1, 1, 0], [1, 0, 0]]
    assert data.test.target.toarray().tolist() == [[0, 0, 0], [0, 0, 1]]
    assert "val" not in data


def test_jsonl_folder_with_descriptions(folder):
    (folder / "labels.json").write_text('{"z": "last", "y": "second", "x": "first"}', encoding="utf-8")
    data = load_jsonl_dir(str(folder))
    assert data.target_names.tolist() == ["z", "y", "x"]
    assert data.label_descriptions["x"] == "first"


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '["x"]', '{"x": 1}'], ids=["cut", "deep", "list", "number"])
def test_unreadable_descriptions(folder, content):
    (folder / "labels.json").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetFormatError, match=r"labels\.json: (not valid JSON|expected one object)"):
        load_jsonl_dir(folder)


def test_empty_lines_do_not_count_and_empty_folders_are_refused(tmp_path):
    train = tmp_path / "train.jsonl"
    train.write_text('\n{"text": "a", "labels": ["x"]}\n  \n', encoding="utf-8")
    assert load_jsonl_dir(tmp_path).train.data == ["a"]
    train.write_text("\n", encoding="utf-8")
    with pytest.raises(DatasetFormatError, match="no document"):
        load_jsonl_dir(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"train.jsonl, line 2: not valid JSON"),
        ('{"text": "a", "labels": ["x"], "id": ' + "1" * 5000 + "}", r"train.jsonl, line 2: not valid JSON"),
        ("[]", r"line 2: expected"),
        ('{"text": 3, "labels": []}', r"line 2: expected"),
        ('{"text": "a", "labels": "x"}', r"line 2: expected"),
        ('{"text": "a", "labels": ["q"]}', r"line 2: label 'q' is not in labels.json"),
    ],
)
def test_unreadable_lines(tmp_path, line, message):
    (tmp_path / "labels.json").write_text('{"x": "first"}', encoding="utf-8")
    (tmp_path / "train.jsonl").write_text('{"text": "a", "labels": ["x"]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DatasetFormatError, match=message):
        load_jsonl_dir(tmp_path)


def test_truncated_and_missing_files(folder):
    with pytest.raises(DatasetNotFoundError, match="no folder"):
        load_jsonl_dir(folder / "nowhere")
    train = folder / "train.jsonl.gz"
    train.write_bytes(train.read_bytes()[:-12])
    with pytest.raises(DatasetFormatError, match="Is it complete"):
        load_jsonl_dir(folder)
    train.unlink()
    with pytest.raises(DatasetNotFoundError, match="neither train.jsonl nor"):
        load_jsonl_dir(folder)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the benchmark data is not here")
def test_real_jsonl_folders():
    for name, n_labels in (("reuters21578", 90), ("aapd", 54)):
        data = load_jsonl_dir(SHARED_DATA / name)
        assert data.train.target.shape == (len(data.train.data), n_labels)
        assert set(data.label_descriptions) == set(data.target_names)


# ------------------------------------------------------------------------------------------------------- published files


@pytest.fixture
def sgm_folder(tmp_path):
    for split, texts, labels in (("train", "a b\nc\n", "x y\ny\n"), ("val", "d\n", "x\n"), ("test", "e\n", "z x\n")):
        (tmp_path / f"text_{split}").write_text(texts, encoding="utf-8")
        (tmp_path / f"label_{split}").write_text(labels, encoding="utf-8")
    return tmp_path


def test_marks_of_byte_order_are_no_part_of_the_first_label(sgm_folder):
    file = sgm_folder / "label_train"
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load_aapd(sgm_folder).target_names.tolist() == ["y", "x", "z"]


@pytest.mark.parametrize("load", [load_aapd, load_rcv1_v2])
def test_sgm_files(sgm_folder, load):
    data = load(sgm_folder)
    assert data.target_names.tolist() == ["y", "x", "z"]
    assert data.train.data == ["a b", "c"]
    assert data.test.target.toarray().tolist() == [[0, 1, 1]]
    (sgm_folder / "label_val").write_text("x\nx\n", encoding="utf-8")
    with pytest.raises(DatasetFormatError, match="1 lines but .*label_val has 2"):
        load(sgm_folder)


@pytest.mark.parametrize(("load", "source"), [(load_aapd, "lancopku/SGM"), (load_rcv1_v2, "rcv1-v2.topics.qrels")])
def test_missing_published_files_say_where_they_are_had(tmp_path, load, source):
    with pytest.raises(DatasetNotFoundError, match=source):
        load(tmp_path)


def test_lyrl2004_files(tmp_path):
    def tokens(numbers):
        return "".join(f".I {number}\n.W\nword{number} and\nmore\n\n" for number in numbers)

    (tmp_path / "lyrl2004_tokens_train.dat").write_text(tokens([1, 2]), encoding="utf-8")
    for part in range(4):
        (tmp_path / f"lyrl2004_tokens_test_pt{part}.dat.gz").write_bytes(gzip.compress(tokens([3 + part]).encode()))
    topics = "CCAT 1 1\nM11 1 1\nM11 2 1\n" + "".join(f"ECAT {number} 1\n" for number in range(3, 7))
    (tmp_path / "rcv1-v2.topics.qrels").write_text(topics, encoding="utf-8")
    data = load_rcv1_v2(tmp_path)
    assert data.target_names.tolist() == ["M11", "CCAT", "ECAT"]
    assert data.train.data == ["word1 and more", "word2 and more"]
    assert data.train.target.toarray().tolist() == [[1, 1, 0], [1, 0, 0]]
    assert data.test.target.shape == (4, 3)
    (tmp_path / "rcv1-v2.topics.qrels").write_text("CCAT 1\n", encoding="utf-8")
    with pytest.raises(DatasetFormatError, match="line 1: expected"):
        load_rcv1_v2(tmp_path)
    (tmp_path / "rcv1-v2.topics.qrels").write_text("\n" + topics.replace("M11 2 1\n", ""), encoding="utf-8")
    with pytest.raises(DatasetFormatError, match="document 2 has no topic"):
        load_rcv1_v2(tmp_path)
    (tmp_path / "lyrl2004_tokens_train.dat").write_text("word\n" + tokens([1, 2]), encoding="utf-8")
    with pytest.raises(DatasetFormatError, match="line 1: expected '.I'"):
        load_rcv1_v2(tmp_path)
    (tmp_path / "rcv1-v2.topics.qrels").unlink()
    with pytest.raises(DatasetNotFoundError, match="JMLR 5"):
        load_rcv1_v2(tmp_path)


def test_a_label_that_a_line_repeats_counts_once(tmp_path):
    lines = ['{"text": "a", "labels": ["x", "x", "x"]}', *['{"text": "b", "labels": ["y"]}'] * 2]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    assert load_jsonl_dir(tmp_path).target_names.tolist() == ["y", "x"]


@pytest.mark.parametrize("content", ["é".encode("latin-1"), gzip.compress(b"{}")])
def test_files_of_another_encoding_are_not_called_incomplete(tmp_path, content):
    (tmp_path / "train.jsonl").write_bytes(content)
    with pytest.raises(DatasetFormatError, match="train.jsonl: is not UTF-8.*Save it as UTF-8"):
        load_jsonl_dir(tmp_path)
