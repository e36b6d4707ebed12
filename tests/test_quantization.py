"""Predictions in 8-bit integers."""

import pickle

import numpy as np
import pytest
import torch
from conftest import LABELS, TEXTS, Y
from sklearn.base import clone
from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

from sklearn_bertlam import _bert, _optimization, _quantization, _runtime
from sklearn_bertlam._quantization import InputRanges, Int8Linears, has_int8
from sklearn_bertlam.exceptions import InvalidTargetError

needs_int8 = pytest.mark.skipif(not has_int8(), reason="this build of torch has no 8-bit operators")


def linear_case():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 16, generator=generator)
    x[:, 3] *= 40.0  # one unit far larger than the others, as in BERT
    weight = torch.randn(24, 16, generator=generator) * 0.1
    weight[:, 3] *= 0.02
    return x, weight, torch.randn(24, generator=generator)


@pytest.fixture
def older_processor(monkeypatch):
    """Compute as on a processor that adds products of 8 bits up in 16, and has nothing for bfloat16."""
    monkeypatch.setattr(_quantization, "_levels", lambda: 127)
    monkeypatch.setattr(_quantization, "cpu_operators_take_bfloat16", lambda: False)
    monkeypatch.setattr(_bert, "cpu_operators_take_bfloat16", lambda: False)


@needs_int8
@pytest.mark.parametrize("processor", ["this", "older"])
@pytest.mark.parametrize("then", ["attention", torch.nn.functional.relu, torch.nn.GELU()])
def test_integers_come_close_to_the_exact_layers(then, processor, request):
    if processor == "older":
        request.getfixturevalue("older_processor")
    x, weight, bias = linear_case()
    second = torch.randn(8, 24, generator=torch.Generator().manual_seed(1)), torch.zeros(8)
    residual = torch.randn(200, 8, generator=torch.Generator().manual_seed(2))

    def network(make_linear):
        first, last = make_linear(weight, bias, then), make_linear.adding(*second)
        return lambda x: last(first(x), residual, 0.0)

    noting = InputRanges(torch.float32)
    exact = network(noting)(x)
    rounded = network(Int8Linears(noting.ranges))(x)
    assert (rounded - exact).norm() < 0.02 * exact.norm()


@needs_int8
def test_the_largest_integers_are_added_up_exactly():
    n = 64
    largest = torch.full((1, n), 3.0)
    linear = Int8Linears([(torch.zeros(n), largest[0])])(largest.clone(), torch.zeros(1), "attention")
    assert linear(largest).item() == pytest.approx(9.0 * n, rel=0.01)


def test_bfloat16_without_operators_for_it(older_processor):
    weight, bias = torch.randn(8, 24, generator=torch.Generator().manual_seed(1)), torch.zeros(8)
    x = torch.randn(20, 24, generator=torch.Generator().manual_seed(2))
    factory = _bert.linear_for_prediction(torch.bfloat16, torch.device("cpu"))
    torch.testing.assert_close(factory(weight, bias, "attention")(x).float(), x @ weight.T, atol=0.1, rtol=0.02)


@pytest.fixture
def own_copy(fitted, monkeypatch):
    monkeypatch.setattr(_runtime, "_cpu_gains_from_bfloat16", lambda: False)
    return pickle.loads(pickle.dumps(fitted))


@pytest.fixture
def int8_is_faster(monkeypatch):
    """Let the second way of computing, the integers, look faster."""
    ticks = iter(np.cumsum([0.0, 2.0, 0.0, 1.0] * 100))
    monkeypatch.setattr(_optimization.time, "perf_counter", lambda: next(ticks))


@needs_int8
def test_optimized_estimator_predicts_nearly_the_same(own_copy, int8_is_faster, capsys):
    expected = own_copy.predict_proba(TEXTS)
    assert own_copy.optimize_for_inference(TEXTS, Y) is own_copy
    assert own_copy.inference_["precision"] == "int8"
    got = own_copy.predict_proba(TEXTS)
    assert 0 < np.abs(got - expected).max() < 0.05
    printed = capsys.readouterr().out
    assert "int8" in printed and "micro-F1" in printed
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(own_copy)).predict_proba(TEXTS), got)
    assert not hasattr(clone(own_copy).set_params(label_names=LABELS).fit(TEXTS, Y), "inference_")


@needs_int8
def test_texts_without_any_known_label_measure_nothing(own_copy, int8_is_faster):
    with pytest.raises(InvalidTargetError, match="NaN everywhere"):
        own_copy.optimize_for_inference(TEXTS, np.full(Y.shape, np.nan))


@needs_int8
def test_company_does_not_change_an_optimized_prediction(own_copy, int8_is_faster):
    own_copy.optimize_for_inference(TEXTS)
    together = own_copy.predict_proba(TEXTS)
    alone = np.concatenate([own_copy.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)


@needs_int8
def test_integers_that_cost_accuracy_are_not_used(own_copy, int8_is_faster, monkeypatch):
    f1 = iter([0.9, 0.8])
    monkeypatch.setattr(_optimization, "_micro_f1", lambda *_: next(f1))
    own_copy.optimize_for_inference(TEXTS, Y)
    assert own_copy.inference_["precision"] == "float32"


def test_bfloat16_is_used_where_it_is_fastest(own_copy, int8_is_faster, monkeypatch, tmp_path):
    monkeypatch.setattr(_runtime, "_cpu_gains_from_bfloat16", lambda: True)
    monkeypatch.setattr(_optimization, "has_int8", lambda: False)  # so that bfloat16 comes second
    expected = own_copy.predict_proba(TEXTS)
    own_copy.optimize_for_inference(TEXTS)
    assert own_copy.inference_["precision"] == "bfloat16"
    got = own_copy.predict_proba(TEXTS)
    assert 0 < np.abs(got - expected).max() < 0.05
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(own_copy)).predict_proba(TEXTS), got)
    own_copy.save(tmp_path / "model")
    np.testing.assert_array_equal(type(own_copy).load(tmp_path / "model").predict_proba(TEXTS), expected)
    assert set(own_copy.optimize_for_inference(TEXTS).inference_["f1_micro"]) == {"float32", "bfloat16"}
    monkeypatch.setattr(_runtime, "_cpu_gains_from_bfloat16", lambda: False)  # on another machine
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(own_copy)).predict_proba(TEXTS), expected)
    own_copy.set_params(label_names=LABELS).fit(TEXTS, Y)
    np.testing.assert_array_equal(own_copy.predict_proba(TEXTS), expected)


def test_the_faster_way_is_kept(own_copy, monkeypatch):
    ticks = iter(np.cumsum([0.0, 1.0, 0.0, 2.0] * 100))
    monkeypatch.setattr(_optimization.time, "perf_counter", lambda: next(ticks))
    expected = own_copy.predict_proba(TEXTS)
    own_copy.optimize_for_inference(TEXTS)
    assert own_copy.inference_["precision"] == "float32"
    assert own_copy.inference_["f1_micro"]["float32"] == 1.0
    np.testing.assert_array_equal(own_copy.predict_proba(TEXTS), expected)


def test_other_encoders_cannot_be_optimized(make_classifier, tiny_encoder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.save_pretrained(tmp_path)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=32, n_layers=1, n_heads=2, hidden_dim=64)
    DistilBertModel(config).save_pretrained(tmp_path)
    clf = make_classifier(encoder=tmp_path, max_epochs=1).fit(TEXTS, Y)
    with pytest.raises(ValueError, match="for BERT-like encoders on a CPU, got DistilBertModel on cpu"):
        clf.optimize_for_inference(TEXTS)


def test_targets_of_other_labels_are_refused(own_copy):
    with pytest.raises(InvalidTargetError, match="y has 2 columns but the classifier knows 3 labels"):
        own_copy.optimize_for_inference(TEXTS, Y[:, :2])
