"""Grid search, cross-validation and scoring on a Dask cluster of two worker processes on this machine."""

import os
import sys
import time

import joblib
import numpy as np
import pytest
from conftest import LABELS, TEXTS, Y
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

import sklearn_bertlam.distributed as distributed_module
from sklearn_bertlam.baselines import BinaryRelevanceClassifier
from sklearn_bertlam.distributed import predict_proba, predict_proba_parquet
from sklearn_bertlam.exceptions import InvalidTextError

cloudpickle = pytest.importorskip("cloudpickle", reason="needs the extra 'distributed'")
dask = pytest.importorskip("dask", reason="needs the extra 'distributed'")
distributed = pytest.importorskip("distributed", reason="needs the extra 'distributed'")
bag = pytest.importorskip("dask.bag", reason="needs the extra 'distributed'")
dd = pytest.importorskip("dask.dataframe", reason="needs the extra 'distributed'")
pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

# Calls of pandas 3.1 by Dask 2026.8 where Parquet has an index; nothing here can avoid them.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")
# Workers are not given up where other programs use the processor: a test would wait for them for ever.
PATIENCE = {"distributed.scheduler.worker-ttl": None, "distributed.comm.timeouts.tcp": "300s"}
MORE_TEXTS, MORE_Y = TEXTS * 3, np.tile(Y, (3, 1))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two worker processes; what they print goes to ``cluster.log``."""
    log = tmp_path_factory.mktemp("cluster") / "stderr.txt"
    kept = os.dup(2)
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            with dask.config.set(PATIENCE):
                cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    with cluster:
        cluster.log = log
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture(params=["cluster", "no cluster"])
def anywhere(request):
    """Let a test run with a cluster and with Dask's default scheduler."""
    if request.param == "cluster":
        request.getfixturevalue("client")


@pytest.fixture
def messages():
    """Texts with an index that has gaps and does not rise, in three partitions; the second is empty."""
    frame = pd.DataFrame({"text": TEXTS, "id": range(len(TEXTS))}, index=[7 * i % 31 for i in range(len(TEXTS))])
    return dd.concat([dd.from_pandas(part, npartitions=1, sort=False) for part in (frame[:5], frame[:0], frame[5:])])


def make_probe():
    """Make a classifier that tells where it was asked. Workers get its class by value, without importing this file."""

    class Probe:
        classes_ = ("threads", "process", "copy")

        def __getstate__(self):
            return {"some": "state"}

        def __setstate__(self, state):
            import torch  # noqa: F401  (as a neural classifier does)

            self.copy = int.from_bytes(os.urandom(2), "little")

        def predict_proba(self, texts):
            import torch

            time.sleep(0.05)  # long enough for the other worker to get its share
            return [[torch.get_num_threads(), os.getpid(), self.copy]] * len(texts)

    return Probe()


def torch_threads(client):
    def count(_):
        import torch

        return torch.get_num_threads()

    return set(client.gather(client.map(count, range(6), pure=False)))


# ------------------------------------------------------------------------------------------------------- through joblib


def test_grid_search_is_that_of_one_process(make_classifier, client):
    grid = {"attention": ["mean", "label-wise"]}
    search = GridSearchCV(make_classifier(max_epochs=1, head_init="random"), grid, scoring="average_precision", cv=2)
    here = search.fit(MORE_TEXTS, MORE_Y).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend="dask"):
        there = search.fit(MORE_TEXTS, MORE_Y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(there, here, rtol=1e-6)
    assert torch_threads(client) == {1}


def test_cross_validation_is_that_of_one_process(make_classifier, client):
    here = cross_val_score(make_classifier(max_epochs=1), MORE_TEXTS, MORE_Y, scoring="f1_micro", cv=2)
    with joblib.parallel_config(backend="dask"):
        there = cross_val_score(make_classifier(max_epochs=1), MORE_TEXTS, MORE_Y, scoring="f1_micro", cv=2)
    np.testing.assert_allclose(there, here, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------- scoring


def test_scores_are_those_of_one_process(fitted, messages, tolerance, anywhere):
    scored = predict_proba(fitted, messages)
    assert scored.npartitions == 3
    assert scored.dtypes[LABELS].tolist() == [np.float32] * 3
    result, expected = scored.compute(), messages.compute()
    pd.testing.assert_frame_equal(result[["text", "id"]], expected)
    np.testing.assert_allclose(result[LABELS], fitted.predict_proba(TEXTS), **tolerance)
    assert result.dtypes[LABELS].tolist() == [np.float32] * 3


def test_pipeline_bag_and_series(fitted, tolerance, client):
    pipeline = Pipeline([("strip", FunctionTransformer(np.char.strip)), ("clf", fitted)])
    from_bag = predict_proba(pipeline, bag.from_sequence(TEXTS, npartitions=2), prefix="proba_").compute()
    assert list(from_bag.columns) == ["text", "proba_printer", "proba_invoice", "proba_thank"]
    series = dd.from_pandas(pd.Series(TEXTS, name="message"), npartitions=2)
    from_series = predict_proba(pipeline, series).compute()
    assert from_series["message"].tolist() == from_bag["text"].tolist() == TEXTS
    for result in (from_bag, from_series):
        np.testing.assert_allclose(result.iloc[:, 1:], fitted.predict_proba(TEXTS), **tolerance)


def test_parquet_to_parquet(fitted, tmp_path, tolerance, client):
    table = pa.table(
        {
            "key": pa.array([2**60 + i if i % 4 else None for i in range(12)]),
            "tags": pa.array([["a", "b"][: i % 3] for i in range(12)]),
            "text": TEXTS,
        }
    )
    (tmp_path / "in").mkdir()
    for number, rows in enumerate([slice(0, 5), slice(5, 5), slice(5, 12)]):
        pq.write_table(table[rows], tmp_path / "in" / f"{number}.parquet")
    joblib.dump(fitted, tmp_path / "clf.joblib")
    predict_proba_parquet(tmp_path / "clf.joblib", tmp_path / "in", tmp_path / "out")
    scored = pq.read_table(tmp_path / "out")
    assert scored.select(table.column_names).equals(table)
    assert scored.schema.names == [*table.column_names, *LABELS]
    assert [scored.schema.field(label).type for label in LABELS] == [pa.float32()] * 3
    np.testing.assert_allclose(scored.select(LABELS).to_pandas(), fitted.predict_proba(TEXTS), **tolerance)
    assert dd.read_parquet(tmp_path / "out").npartitions == 3


def test_parquet_with_an_index_and_without_the_texts(fitted, messages, tmp_path, tolerance):
    messages.to_parquet(tmp_path / "in")
    predict_proba_parquet(fitted, str(tmp_path / "in"), str(tmp_path / "out"), columns=["id"])
    result = dd.read_parquet(tmp_path / "out").compute()
    assert list(result.columns) == ["id", *LABELS]
    assert result.index.tolist() == messages.index.compute().tolist()
    np.testing.assert_allclose(result[LABELS], fitted.predict_proba(TEXTS), **tolerance)


def test_nothing_is_written_among_old_files(fitted, messages, tmp_path):
    messages.to_parquet(tmp_path / "in")
    messages.to_parquet(tmp_path / "out")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        predict_proba_parquet(fitted, tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "destination"),
    [("in", "in"), ("in/0.parquet", "in"), ("in", "in/scored"), ("in/*.parquet", "in"), ("file://{here}/in", "in")],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_source_is_never_overwritten(fitted, tmp_path, monkeypatch, source, destination, absolute):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    pd.DataFrame({"text": TEXTS[:3]}).to_parquet("in/0.parquet")
    destination = str(tmp_path / destination) if absolute else destination
    with pytest.raises(ValueError, match="overlap"):
        predict_proba_parquet(fitted, source.format(here=tmp_path), destination, overwrite=True)
    assert pd.read_parquet("in")["text"].tolist() == TEXTS[:3]


def test_many_partitions_are_read_again_in_their_order(tmp_path):
    classifier = BinaryRelevanceClassifier().fit(TEXTS, Y)
    (tmp_path / "in").mkdir()
    for number in range(12):
        pd.DataFrame({"id": [number], "text": TEXTS[number]}).to_parquet(tmp_path / "in" / f"{number:02}.parquet")
    predict_proba_parquet(classifier, tmp_path / "in", tmp_path / "out", columns=["id"])
    assert pd.read_parquet(tmp_path / "out")["id"].tolist() == list(range(12))
    predict_proba_parquet(classifier, tmp_path / "in", tmp_path / "out", columns=["text"], overwrite=True)
    assert pd.read_parquet(tmp_path / "out")["text"].tolist() == TEXTS


def test_nothing_is_left_of_what_failed_or_deleted_before_it_is_checked(tmp_path):
    classifier = BinaryRelevanceClassifier().fit(TEXTS, Y)
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    pd.DataFrame({"text": TEXTS}).to_parquet(folder / "0.parquet")
    predict_proba_parquet(classifier, folder, out)
    before = pd.read_parquet(out)
    for options, error, message in (
        ({"threads_per_worker": 0}, ValueError, "threads_per_worker == 0"),
        ({"threads_per_worker": "many"}, TypeError, "threads_per_worker"),
        ({"columns": "text"}, TypeError, r"Pass \['text'\]"),
        ({"columns": ["id"]}, ValueError, "no column 'id'"),
        ({"columns": ["text", "text"]}, ValueError, "a name twice"),
        ({"text_column": "texts", "columns": ["text"]}, ValueError, "no column 'texts'"),
        ({"prefix": None}, TypeError, "prefix should be a str"),
    ):
        with pytest.raises(error, match=message):
            predict_proba_parquet(classifier, folder, out, overwrite=True, **options)
        pd.testing.assert_frame_equal(pd.read_parquet(out), before)
    with pytest.raises(TypeError, match="no predict_proba"):
        predict_proba_parquet(make_pipeline(CountVectorizer(), LinearSVC()).fit(TEXTS, Y[:, 0]), folder, out, overwrite=True)
    with pytest.raises(FileNotFoundError, match="no file"):
        predict_proba_parquet(classifier, tmp_path / "*.parquet", out, overwrite=True)
    for number, text in enumerate((None, "a text")):
        pd.DataFrame({"text": ["another", text]}).to_parquet(folder / f"{number}.parquet")
    with pytest.raises(InvalidTextError):
        predict_proba_parquet(classifier, folder, out, overwrite=True)
    assert not list(out.glob("*"))


@pytest.mark.parametrize("names", [("a", "b"), ("printer",)])
def test_an_index_that_cannot_be_kept(tmp_path, names):
    classifier = BinaryRelevanceClassifier().fit(TEXTS, pd.DataFrame(Y, columns=LABELS))
    index = (
        pd.MultiIndex.from_arrays([TEXTS] * len(names), names=names) if len(names) > 1 else pd.Index(TEXTS, name=names[0])
    )
    pd.DataFrame({"text": TEXTS}, index=index).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(ValueError, match="index of several columns|index and a column are both called 'printer'"):
        predict_proba_parquet(classifier, tmp_path / "in.parquet", tmp_path / "out")


def test_a_link_to_a_folder_stays_one(tmp_path):
    classifier = BinaryRelevanceClassifier().fit(TEXTS, Y)
    pd.DataFrame({"text": TEXTS}).to_parquet(tmp_path / "in.parquet")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    for overwrite in (False, True):
        predict_proba_parquet(classifier, tmp_path / "in.parquet", tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out").is_symlink()
    assert len(pd.read_parquet(tmp_path / "elsewhere")) == len(TEXTS)


def test_a_label_with_the_name_of_a_column_that_is_left_out(tmp_path):
    classifier = BinaryRelevanceClassifier().fit(TEXTS, pd.DataFrame(Y, columns=LABELS))
    pd.DataFrame({"text": TEXTS, LABELS[0]: Y[:, 0]}).to_parquet(tmp_path / "in.parquet")
    predict_proba_parquet(classifier, tmp_path / "in.parquet", tmp_path / "out", columns=["text"])
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "out")[LABELS], classifier.predict_proba(TEXTS), atol=1e-6)


def test_a_model_that_was_replaced_is_not_scored_under_the_old_labels(messages, tmp_path):
    path = tmp_path / "classifier.joblib"
    joblib.dump(BinaryRelevanceClassifier().fit(TEXTS, pd.DataFrame(Y, columns=LABELS)), path)
    scored = predict_proba(path, messages)
    joblib.dump(BinaryRelevanceClassifier().fit(TEXTS, pd.DataFrame(Y[:, ::-1], columns=LABELS[::-1])), path)
    distributed_module._load_once.cache_clear()
    with pytest.raises(ValueError, match="has changed since it was named"):
        scored.compute(scheduler="synchronous")


@pytest.mark.parametrize("content", [b"", b"no pickle"])
def test_a_path_of_something_else(messages, tmp_path, content):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(ValueError, match="holds no classifier.*joblib.dump"):
        predict_proba(tmp_path / "model", messages)


@pytest.mark.parametrize("records", [[{"text": "a", "id": 1}], [("a", 1)]])
def test_records_in_a_bag_do_not_lose_what_they_hold(fitted, records):
    scored = predict_proba(fitted, bag.from_sequence(records, npartitions=1))
    with pytest.raises(InvalidTextError, match="The Bag holds records such as"):
        scored.compute(scheduler="synchronous")


# ----------------------------------------------------------------------------------------------- processes and threads


@pytest.mark.parametrize("by", ["object", "path"])
def test_one_model_per_worker_and_the_threads_that_were_asked_for(by, tmp_path, client):
    model = make_probe()
    if by == "path":
        model = tmp_path / "probe.pickle"
        model.write_bytes(cloudpickle.dumps(make_probe()))
    texts = bag.from_sequence(TEXTS, npartitions=12)
    seen = predict_proba(model, texts, threads_per_worker=3).compute()
    assert (seen["threads"] == 3).all()
    assert seen["process"].nunique() == 2 and os.getpid() not in seen["process"].tolist()
    assert (seen.groupby("process")["copy"].nunique() == 1).all()
    assert torch_threads(client) == {1}


@pytest.mark.parametrize("cores", [1, 2, 6])
def test_workers_share_the_cores_of_their_host(cores, client):
    def set_cores(number):
        import dask.system

        import sklearn_bertlam.distributed

        sklearn_bertlam.distributed._cores_per_worker.cache_clear()
        before, dask.system.CPU_COUNT = dask.system.CPU_COUNT, number
        return before

    before = client.run(set_cores, cores)
    try:
        seen = predict_proba(make_probe(), bag.from_sequence(TEXTS, npartitions=4)).compute()
    finally:
        client.run(set_cores, min(before.values()))
    assert set(seen["threads"]) == {max(1, cores // 2)}
    assert torch_threads(client) == {1}


def test_nothing_is_computed_before_it_is_asked_for(messages):
    class Never:
        classes_ = np.array([0, 1])

        def predict_proba(self, texts):
            raise AssertionError("called")

    scored = predict_proba(Never(), messages, prefix="p")
    assert scored.dtypes.to_dict() == messages.dtypes.to_dict() | {"p0": np.float32, "p1": np.float32}


# ------------------------------------------------------------------------------------------------------------ bad input


def test_a_missing_text_is_named(fitted, anywhere):
    texts = bag.from_sequence([*TEXTS[:3], None], npartitions=2)
    with pytest.raises(
        InvalidTextError, match=r"^Partition 1: texts\[1\] is (None|nan|<NA>)\. Missing texts are not guessed"
    ):
        predict_proba(fitted, texts).compute()


def test_classifiers_with_a_list_of_scores(messages):
    words = make_pipeline(CountVectorizer(), RandomForestClassifier(n_estimators=2, random_state=0)).fit(TEXTS, Y)
    scored = predict_proba(words, messages).compute()
    expected = np.column_stack([part[:, 1] for part in words.predict_proba(scored["text"].tolist())])
    np.testing.assert_allclose(scored[["0", "1", "2"]], expected)


def test_what_cannot_be_scored(fitted, make_classifier, messages):
    with pytest.raises(TypeError, match="Expected a Dask DataFrame, Series or Bag, got builtins.list"):
        predict_proba(fitted, TEXTS)
    with pytest.raises(ValueError, match=r"no column 'body', only \['text', 'id'\]"):
        predict_proba(fitted, messages, text_column="body")
    with pytest.raises(ValueError, match=r"not be unique: \['invoice'\]. Pass a prefix"):
        predict_proba(fitted, messages.rename(columns={"id": "invoice"}))
    with pytest.raises(NotFittedError, match="BertLamClassifier has no classes_"):
        predict_proba(make_classifier(), messages)


def test_without_dask_the_extra_is_named(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.dataframe", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-bertlam\[distributed\]'"):
        predict_proba(fitted, TEXTS)


def test_tokenizers_do_not_complain_of_forks(cluster):
    assert "fork" not in cluster.log.read_text(encoding="utf-8")
