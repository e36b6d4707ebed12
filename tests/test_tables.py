"""benchmarks.tables on small data, as a user would run it."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import LABELS, TEXTS, Y
from sklearn.metrics import f1_score
from skorch.callbacks import Callback

from benchmarks import bootstrap
from benchmarks.accuracy.changes import make_changed
from benchmarks.bootstrap import bootstrap_micro_f1, document_counts, interval, micro_f1
from benchmarks.few import SYSTEMS as SYSTEMS_FOR_FEW
from benchmarks.few import main as few_documents
from benchmarks.output import report
from benchmarks.scoring import best_threshold, score
from benchmarks.systems import DEFAULT_SYSTEMS, SYSTEMS, make_system
from benchmarks.tables.__main__ import main
from benchmarks.tables.data import data_name
from sklearn_bertlam.exceptions import TrainingInterruptedWarning

ROOT = Path(__file__).parents[1]


def write_split(file, texts, y):
    lines = (
        json.dumps({"text": text, "labels": [label for label, one in zip(LABELS, row, strict=True) if one]})
        for text, row in zip(texts, y, strict=True)
    )
    file.write_bytes(gzip.compress("\n".join(lines).encode()))


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "messages"
    data.mkdir()
    for split in ("train", "val", "test"):
        write_split(data / f"{split}.jsonl.gz", TEXTS * 2, np.vstack([Y, Y]))
    return data


def tables(folder, out, *options):
    return main(["--data", str(folder), "--out", str(out), *options])


def test_a_table_of_two_systems(folder, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--systems", "binary-relevance", "binary-relevance-svm", "--reference", "binary-relevance"]
    assert tables(folder, out, *options, "--threshold", "tuned") == 0
    results = json.loads((out / "results.json").read_text())
    row = results["summary"]["binary-relevance-svm"]
    assert row["f1_micro"] > 0.9
    assert row["difference"] == pytest.approx(row["f1_micro"] - results["summary"]["binary-relevance"]["f1_micro"])
    low, high = row["f1_micro_interval"]
    assert 0 <= low <= row["f1_micro"] <= high <= 1
    assert results["runs"]["binary-relevance-svm"]["0"]["chosen"]["estimator__C"] in (0.1, 0.3, 1.0, 3.0)
    report = (out / "results.md").read_text()
    assert report in capsys.readouterr().out
    assert str(tmp_path) not in report
    assert "Binary Relevance (TF-IDF + linear SVM)" in report
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")


def test_runs_that_are_there_are_not_done_again(folder, tmp_path):
    out = tmp_path / "out"
    tables(folder, out, "--systems", "binary-relevance")
    file = out / "runs" / "binary-relevance-0.json"
    first = file.stat().st_mtime_ns
    with pytest.raises(SystemExit, match="--resume"):
        tables(folder, out, "--systems", "binary-relevance")
    assert tables(folder, out, "--systems", "binary-relevance", "binary-relevance-svm", "--resume") == 0
    assert file.stat().st_mtime_ns == first
    assert len(json.loads((out / "results.json").read_text())["summary"]) == 2
    with pytest.raises(SystemExit, match="documents: .*24.*12"):
        tables(folder, out, "--train-size", "12", "--resume")
    (folder / "labels.json").write_text(json.dumps({label: f"about {label}" for label in LABELS}))
    with pytest.raises(SystemExit, match="documents: .*checksum"):
        tables(folder, out, "--resume")
    assert file.stat().st_mtime_ns == first


@pytest.mark.parametrize("name", ["settings.json", "results.json", "runs/binary-relevance-0.json"])
def test_a_damaged_result_is_named(folder, tmp_path, name):
    out = tmp_path / "out"
    tables(folder, out, "--systems", "binary-relevance")
    (out / name).write_text((out / name).read_text()[:-9])
    with pytest.raises(SystemExit, match=f"{name} is damaged"):
        tables(folder, out, "--systems", "binary-relevance", "--resume")


def test_a_split_without_a_document_is_named_before_anything_is_trained(folder, tmp_path):
    write_split(folder / "test.jsonl.gz", [], Y[:0])
    with pytest.raises(SystemExit, match="The test split of .* has no document"):
        tables(folder, tmp_path / "out")


def test_a_killed_run_goes_on(folder, tmp_path):
    """Killed in the middle, nothing half-written is left, and the next call ends with all runs."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks.tables", "--data", str(folder), "--out", str(out), "--resume"]
    command += ["--systems", "binary-relevance", "binary-relevance-svm"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = out / "runs" / "binary-relevance-0.json"
    while not first.is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    written = first.stat().st_mtime_ns
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert first.stat().st_mtime_ns == written
    assert sorted(file.name for file in (out / "runs").iterdir() if file.suffix == ".json") == [
        "binary-relevance-0.json",
        "binary-relevance-svm-0.json",
    ]


def test_a_system_that_fails_does_not_cost_the_others(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = tmp_path / "out"
    options = ["--systems", "frozen", "binary-relevance", "--encoder", "no-such-model/at-all"]
    assert tables(folder, out, *options, "--reference", "binary-relevance") == 1
    assert "EncoderNotFoundError" in (out / "results.md").read_text()
    assert list(json.loads((out / "results.json").read_text())["summary"]) == ["binary-relevance"]


def test_networks_are_run_with_the_shared_settings(folder, tmp_path, tiny_encoder):
    out = tmp_path / "out"
    options = ["--systems", "label-wise", "--encoder", tiny_encoder, "--max-length", "16", "--epochs", "1"]
    assert tables(folder, out, *options, "--seeds", "0", "1") == 0
    (row,) = json.loads((out / "results.json").read_text())["summary"].values()
    assert row["seeds"] == 2
    assert row["f1_macro_sd"] is not None
    assert "## Standard deviation over seeds" in (out / "results.md").read_text()
    assert tiny_encoder not in (out / "results.md").read_text()


def test_what_the_data_lacks_is_said(folder, tmp_path, capsys):
    (folder / "val.jsonl.gz").unlink()
    write_split(folder / "train.jsonl.gz", TEXTS, Y * [1, 1, 0])
    out = tmp_path / "out"
    tables(folder, out, "--systems", "binary-relevance", "--threshold", "tuned", "--reference", "binary-relevance")
    report = (out / "results.md").read_text()
    assert "There was no val split: 2 training documents" in report
    assert "1 label(s) of test are in no training document, and can be found only by their texts: thank" in report


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: [file.unlink() for file in folder.iterdir()], "train.jsonl"),
        (lambda folder: (folder / "test.jsonl.gz").unlink(), "no test split"),
        (lambda folder: (folder / "val.jsonl.gz").write_bytes(gzip.compress(b'{"text": 1}\n')), "val.jsonl.gz, line 1"),
    ],
)
def test_data_that_cannot_be_read_is_refused(folder, tmp_path, spoil, message):
    spoil(folder)
    with pytest.raises(SystemExit, match=message):
        tables(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_folders_are_left_alone(folder, tmp_path):
    with pytest.raises(SystemExit, match="no folder"):
        tables(tmp_path / "missing", tmp_path / "out")
    with pytest.raises(SystemExit, match="not empty"):
        tables(folder, folder)
    with pytest.raises(SystemExit):
        tables(folder, tmp_path / "out", "--threshold", "tuned", "--split", "val")


def test_every_system_can_be_made():
    for name in SYSTEMS:
        system = make_system(name, encoder="folder", label_names={"a": "b"}, max_length=64, max_epochs=2, random_state=3)
        parameters = system.get_params(deep=False)
        assert parameters.get("encoder", "folder") == "folder"
        assert parameters.get("max_epochs", 2) == 2
        assert parameters.get("max_length") in ({500, None} if SYSTEMS[name].reads_words else {64})
    assert "sgm-ge" in DEFAULT_SYSTEMS


# -------------------------------------------------------------------------------------------------------------- arithmetic


def test_the_best_threshold_is_the_best_of_all():
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    assert low < best_threshold(np.array([[1, 0]]), np.array([[high, low]])) < high
    random = np.random.default_rng(0)
    for _ in range(20):
        y = random.integers(2, size=(12, 3))
        scores = random.integers(6, size=(12, 3)) / 7.0  # many are equal
        found = f1_score(y, scores > best_threshold(y, scores), average="micro", zero_division=0)
        every = [f1_score(y, scores > t, average="micro", zero_division=0) for t in np.linspace(-1, 1, 57)]
        assert found == pytest.approx(max(every))


def test_counts_give_the_micro_f1_of_scikit_learn():
    random = np.random.default_rng(1)
    y, predicted = random.integers(2, size=(2, 40, 5))
    assert micro_f1(document_counts(y, predicted).sum(axis=0)) == pytest.approx(f1_score(y, predicted, average="micro"))


def test_bootstrap_intervals_cover_as_often_as_they_say(monkeypatch):
    """Documents from a population whose micro-F1 is known: 95 % of the intervals hold it, give or take two."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)
    random = np.random.default_rng(2)

    def draw(n):
        y = random.random((n, 4)) < 0.4
        return document_counts(y, np.where(random.random((n, 4)) < 0.8, y, ~y))

    truth = micro_f1(draw(200_000).sum(axis=0))
    covered = []
    for seed in range(2000):
        low, high = interval(bootstrap_micro_f1({"a": draw(100)[None]}, seed)["a"])
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_intervals_are_of_the_mean_over_seeds():
    """A seed that predicts nothing counts as much as one that is always right."""
    y = np.random.default_rng(4).integers(2, size=(50, 3))
    counts = np.stack([document_counts(y, y), document_counts(y, np.zeros_like(y))])
    assert interval(bootstrap_micro_f1({"a": counts})["a"]) == (0.5, 0.5)


def test_a_single_label_is_scored_where_it_applies():
    y = np.array([[1]] + [[0]] * 9)
    scores = score(y, np.zeros_like(y), np.linspace(1, 0, 10)[:, None])
    assert scores["f1_micro"] == scores["f1_macro"] == scores["recall_micro"] == 0
    assert scores["hamming_loss"] == pytest.approx(0.1)


def test_differences_are_paired():
    """Two systems that differ on one document only have a narrow difference, whatever their own intervals are."""
    random = np.random.default_rng(3)
    y = random.integers(2, size=(200, 5))
    first = np.where(random.random(y.shape) < 0.7, y, 1 - y)
    second = first.copy()
    second[0] = y[0]
    counts = {"first": document_counts(y, first)[None], "second": document_counts(y, second)[None]}
    scores = bootstrap_micro_f1(counts)
    low, high = interval(scores["second"] - scores["first"])
    own_low, own_high = interval(scores["first"])
    assert 0 <= low <= high < (own_high - own_low) / 3


@pytest.mark.parametrize(
    "name",
    [
        "mean residual",
        "[CLS] residual",
        "labels depend on labels",
        "label texts are examples",
        "R-Drop",
        "some words hidden",
        "hidden words are guessed",
    ],
)
def test_changed_networks_have_all_that_the_usual_one_has(make_classifier, name):
    usual = make_classifier(label_names=LABELS, max_epochs=1)
    changed = make_changed(name, **usual.get_params()).fit(TEXTS, Y)
    assert set(usual.fit(TEXTS, Y).module_.state_dict()) <= set(changed.module_.state_dict())
    assert changed.predict_proba(TEXTS).shape == Y.shape


def test_support_requests_have_a_test_and_no_val(tmp_path, capsys):
    few = ["--data", "support", "--out", str(tmp_path / "few"), "--systems", "Binary Relevance", "--seeds", "0"]
    few_documents(few + ["--sizes", "50"])
    assert "--out few" in (tmp_path / "few" / "results.md").read_text()
    with pytest.raises(SystemExit):
        few_documents(few + ["--sizes", "50", "--split", "val"])
    assert "have no val" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="fewer than 500"):
        few_documents(few + ["--sizes", "500"])


def test_few_documents_refuse_other_documents_and_sizes_that_cannot_be(folder, tmp_path, capsys):
    few = ["--data", str(folder), "--out", str(tmp_path / "few"), "--systems", "Binary Relevance", "--seeds", "0"]
    few_documents(few + ["--sizes", "8"])
    for size, message in (("-3", "at least 1"), ("4", "5 folds")):
        with pytest.raises(SystemExit) as ended:
            few_documents(few + ["--sizes", size])
        assert message in f"{ended.value} {capsys.readouterr().err}"
    with pytest.raises(SystemExit, match="split: 'test' there, 'val' now"):
        few_documents(few + ["--sizes", "8", "--split", "val"])
    write_split(folder / "test.jsonl.gz", TEXTS[1:], Y[1:])
    with pytest.raises(SystemExit, match="other settings.*checksum"):
        few_documents(few + ["--sizes", "8"])


def test_systems_with_seeds_of_their_own_share_a_table(folder, tmp_path):
    out = tmp_path / "few"
    shared = ["--data", str(folder), "--out", str(out), "--sizes", "8"]
    few_documents([*shared, "--systems", "Binary Relevance", "--seeds", "0", "1"])
    other = json.loads((out / "runs" / "Binary-Relevance-8-0.json").read_text())
    (out / "runs" / "frozen-embeddings-8-2.json").write_text(json.dumps(other))
    few_documents([*shared, "--systems", "Binary Relevance", "--seeds", "0", "1"])
    report = (out / "results.md").read_text()
    assert "nan" not in report
    assert "--seeds 0 1 --systems 'Binary Relevance'" in report
    assert "--seeds 2 --systems 'frozen embeddings'" in report


def test_an_interrupted_training_is_no_measurement(folder, tmp_path, make_classifier, monkeypatch):
    class Interrupt(Callback):
        def on_batch_end(self, net, training, **kwargs):
            raise KeyboardInterrupt

    monkeypatch.setitem(SYSTEMS_FOR_FEW, "BertLamClassifier", lambda names, seed: make_classifier(callbacks=[Interrupt()]))
    out = tmp_path / "few"
    with pytest.raises(TrainingInterruptedWarning):
        few_documents(["--data", str(folder), "--out", str(out), "--sizes", "8", "--systems", "BertLamClassifier"])
    assert not list(out.glob("runs/*.json"))


@pytest.mark.parametrize("name", ["share-0.25", "plain"])
def test_reports_keep_their_name(tmp_path, name):
    report("text", tmp_path / name, {})
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{name}.json", f"{name}.md"]


@pytest.mark.parametrize(
    ("name", "meant"), [("AAPD", "aapd"), ("rcv1", "rcv1-v2"), ("not-aapd-but-mine", "not-aapd-but-mine")]
)
def test_only_folders_of_its_name_are_the_papers_data(tmp_path, name, meant):
    assert data_name(tmp_path / name) == meant
