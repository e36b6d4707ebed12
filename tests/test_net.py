"""Training and prediction when memory is short, in streams and in threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import LABELS, TEXTS, Y

from sklearn_bertlam import _prediction, _runtime
from sklearn_bertlam._module import LabelAttentionNetwork
from sklearn_bertlam.exceptions import InvalidTextError, LessMemoryWarning, OutOfMemoryError, SlowPrecisionWarning


@pytest.fixture
def limit_memory(monkeypatch):
    """Let the network run out of memory above a number of tokens; one document with its labels takes up to 32."""

    def limit(most_tokens):
        forward = LabelAttentionNetwork.forward

        def limited(self, batch, *args, **kwargs):
            if sum(batch.lengths[: len(batch)]) > most_tokens:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(self, batch, *args, **kwargs)

        monkeypatch.setattr(LabelAttentionNetwork, "forward", limited)

    return limit


def parameters(clf):
    return torch.cat([parameter.detach().flatten() for parameter in clf.module_.parameters()])


def test_training_goes_on_with_smaller_parts_to_the_same_weights(make_classifier, limit_memory):
    settings = {"batch_size": 12, "dropout": 0.0, "label_names": LABELS, "labels_per_update": None, "head_init": "random"}
    expected = make_classifier(**settings).fit(TEXTS, Y)
    limit_memory(20)
    with pytest.warns(LessMemoryWarning) as warnings:
        got = make_classifier(**settings).fit(TEXTS, Y)
    assert len({str(warning.message) for warning in warnings}) == len(warnings)  # each size is logged once
    np.testing.assert_allclose(parameters(got), parameters(expected), atol=1e-4)
    assert got.history_[-1]["loss"] == pytest.approx(expected.history_[-1]["loss"], abs=1e-4)


def test_prediction_goes_on_with_smaller_parts(fitted, limit_memory):
    expected = fitted.predict_proba(TEXTS)
    limit_memory(20)
    with pytest.warns(LessMemoryWarning):
        np.testing.assert_allclose(fitted.predict_proba(TEXTS), expected, atol=1e-5)


def test_a_text_that_does_not_fit_alone_is_an_error_with_its_length(make_classifier, limit_memory):
    limit_memory(10)
    with pytest.warns(LessMemoryWarning), pytest.raises(OutOfMemoryError, match="single text of 11 tokens.*max_length"):
        make_classifier(head_init="random").fit(["printer " * 9, *TEXTS], np.vstack([Y[:1], Y]))


def test_other_errors_are_not_taken_for_a_lack_of_memory(fitted, monkeypatch):
    def broken(self, batch, *args, **kwargs):
        raise RuntimeError("something else")

    monkeypatch.setattr(LabelAttentionNetwork, "forward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        fitted.predict_proba(TEXTS)


@pytest.mark.parametrize("most_tokens", [11, 40])
def test_the_size_of_the_parts_does_not_matter(make_classifier, monkeypatch, most_tokens):
    settings = {"dropout": 0.0, "labels_per_update": None, "label_names": LABELS}
    expected = make_classifier(**settings).fit(TEXTS, Y)
    monkeypatch.setattr(_prediction, "_TOKENS_AT_ONCE", dict.fromkeys(("cpu", "cuda"), most_tokens))
    got = make_classifier(**settings).fit(TEXTS, Y)
    np.testing.assert_allclose(got.predict_proba(TEXTS), expected.predict_proba(TEXTS), atol=1e-4)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_a_stream_gives_what_a_list_gives(fitted, method):
    expected = getattr(fitted, method)(TEXTS)
    parts = list(fitted.predict_batches(iter(TEXTS), method=method, batch_size=5))
    assert [len(part) for part in parts] == [5, 5, 2]
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-5)


def test_a_stream_is_read_as_it_is_needed(fitted):
    taken = []

    def texts():
        for number in range(10**9):
            taken.append(number)
            yield "thank you"

    stream = fitted.predict_batches(texts(), batch_size=3)
    next(stream), next(stream)
    assert len(taken) <= 12


def test_bad_streams_are_refused(fitted):
    with pytest.raises(ValueError, match="method should be one of"):
        fitted.predict_batches(TEXTS, method="fit")
    with pytest.raises(ValueError, match="None"):
        list(fitted.predict_batches(["thank you", None]))
    with pytest.raises(ValueError, match="string object received"):
        fitted.predict_batches("thank you")
    assert list(fitted.predict_batches([])) == []


def test_a_precision_that_is_slow_here_works_with_a_warning(make_classifier, monkeypatch):
    monkeypatch.setattr(_runtime, "_cpu_gains_from_bfloat16", lambda: False)
    with pytest.warns(SlowPrecisionWarning, match="precision='auto'") as warnings:
        clf = make_classifier(precision="bfloat16", device="cpu").fit(TEXTS, Y)
    assert warnings[0].filename == __file__
    assert clf.predict_proba(TEXTS).shape == Y.shape


def test_a_precision_that_the_processor_does_not_have_is_replaced(make_classifier, monkeypatch):
    monkeypatch.setattr(_runtime, "_cpu_gains_from_bfloat16", lambda: False)
    monkeypatch.setattr(_runtime, "cpu_operators_take_bfloat16", lambda: False)
    with pytest.warns(SlowPrecisionWarning, match="no bfloat16"):
        clf = make_classifier(precision="bfloat16", device="cpu").fit(TEXTS, Y)
    expected = make_classifier(precision="float32", device="cpu").fit(TEXTS, Y)
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected.predict_proba(TEXTS))


@pytest.mark.parametrize(
    ("seconds", "expected"), [((4, 1), torch.bfloat16), ((1, 1), torch.float32), ((1, 2), torch.float32)]
)
def test_auto_precision_is_the_faster_one(monkeypatch, seconds, expected):
    monkeypatch.setattr(_runtime, "_cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(_runtime, "cpu_operators_take_bfloat16", lambda: True)
    monkeypatch.setattr(_runtime, "_fastest_products", lambda dtypes: dict(zip(dtypes, seconds, strict=True)))
    _runtime._cpu_gains_from_bfloat16.cache_clear()
    assert _runtime.resolve_precision("auto", torch.device("cpu")) == expected
    _runtime._cpu_gains_from_bfloat16.cache_clear()


def test_batches_before_a_bad_text_are_predicted(fitted):
    stream, got = fitted.predict_batches(iter([*TEXTS[:9], None]), batch_size=4), []
    with pytest.raises(InvalidTextError, match=r"texts\[9\] is None"):
        for part in stream:
            got.append(len(part))
    assert got == [4, 4]


def test_streams_may_be_what_predict_takes(fitted):
    frame = pd.DataFrame({"text": TEXTS})
    np.testing.assert_array_equal(np.vstack(list(fitted.predict_batches(frame))), fitted.predict(TEXTS))
    for bad in ({"text": TEXTS}, set(TEXTS)):
        with pytest.raises(InvalidTextError, match="object received"):
            fitted.predict_batches(bad)
    with pytest.raises(ValueError, match="batch_size"):
        fitted.predict_batches(TEXTS, batch_size=0)


def test_threads_truncate_long_texts_alike(make_classifier):
    clf = make_classifier(label_names=LABELS, max_length=8).fit(TEXTS, Y)
    texts = [" ".join(TEXTS[i:] + TEXTS[:i]) for i in range(12)]
    expected = clf.predict_proba(texts)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: clf.predict_proba(texts), range(64)):
            np.testing.assert_allclose(got, expected, atol=1e-6)
    assert clf.tokenizer_.backend_tokenizer.truncation is None


@pytest.mark.parametrize("device", ["mps", "meta"])
def test_devices_that_are_not_supported_are_refused(make_classifier, device):
    with pytest.raises(ValueError, match="not supported. Use 'auto', 'cpu' or 'cuda'"):
        make_classifier(device=device).fit(TEXTS, Y)


def test_a_device_that_is_not_there_is_named(make_classifier, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"device='cuda:2' but there are 2 CUDA devices"):
        make_classifier(device="cuda:2").fit(TEXTS, Y)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "cuda:1"),  # the current one of the thread
        ({"WORLD_SIZE": "4"}, "cuda:1"),
        ({"WORLD_SIZE": "4", "LOCAL_RANK": "3"}, "cuda:1"),
        ({"WORLD_SIZE": "4", "LOCAL_RANK": "0"}, "cuda:0"),
    ],
)
def test_processes_of_a_launcher_share_the_devices(monkeypatch, environment, expected):
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    for device in ("auto", "cuda"):
        assert str(_runtime.resolve_device(device)) == expected
    assert str(_runtime.resolve_device("cuda:0")) == "cuda:0"


def test_another_c_library_makes_no_difference(make_classifier, monkeypatch):
    expected = make_classifier().fit(TEXTS, Y).predict_proba(TEXTS)
    monkeypatch.setattr(_runtime, "_glibc", lambda: None)
    np.testing.assert_array_equal(make_classifier().fit(TEXTS, Y).predict_proba(TEXTS), expected)


def test_a_processor_without_bfloat16_is_not_timed(monkeypatch):
    monkeypatch.setattr(_runtime, "_cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(_runtime, "_fastest_products", None)
    _runtime._cpu_gains_from_bfloat16.cache_clear()
    try:
        assert _runtime.resolve_precision("auto", torch.device("cpu")) == torch.float32
    finally:
        _runtime._cpu_gains_from_bfloat16.cache_clear()
