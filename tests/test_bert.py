"""Packed BERT against the model of transformers, text by text."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, RobertaConfig, RobertaModel

from sklearn_bertlam import _self_attention
from sklearn_bertlam._batches import pack
from sklearn_bertlam._bert import LinearIn, PackedBert, is_bert
from sklearn_bertlam._dropout import FastDropout, add_dropped, dropout, keep_mask, use_fast_dropout
from sklearn_bertlam._self_attention import SelfAttention
from sklearn_bertlam._tokens import tokenize

LENGTHS = (9, 9, 9, 7, 3, 1)


@pytest.fixture
def qkv():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(LENGTHS), 3, 2, 4, generator=generator, dtype=torch.float64, requires_grad=True)


def attention_text_by_text(qkv):
    results = []
    for part in qkv.split(LENGTHS):
        q, k, v = part.permute(1, 2, 0, 3)  # each (h, length, d)
        results.append(((q @ k.transpose(1, 2) / 2.0).softmax(dim=-1) @ v).transpose(0, 1))
    return torch.cat(results)


@pytest.mark.parametrize("scores_per_group", [1, 400, 10**9])
def test_self_attention_stays_within_each_text(qkv, scores_per_group, monkeypatch):
    monkeypatch.setattr(_self_attention, "_SCORES_PER_GROUP", scores_per_group)
    got, expected = SelfAttention(LENGTHS, 2, qkv.device)(qkv), attention_text_by_text(qkv)
    np.testing.assert_allclose(got.detach(), expected.detach(), atol=1e-12)
    weights = torch.randn_like(got)
    (gradient,), (expected_gradient,) = (torch.autograd.grad((x * weights).sum(), qkv) for x in (got, expected))
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-12)


def test_self_attention_with_padding_is_the_same(qkv, monkeypatch):
    """What a GPU without variable-length attention does."""
    belong_together = _self_attention._belong_together
    cuda = torch.device("cuda")
    monkeypatch.setattr(_self_attention, "_belong_together", lambda lengths, heads, _: belong_together(lengths, heads, cuda))
    groups = _self_attention.group_texts(LENGTHS, 2, qkv.device)
    got = torch.cat([_self_attention._padded_attention(qkv[group.tokens], group) for group in groups])
    np.testing.assert_allclose(got.detach(), attention_text_by_text(qkv).detach(), atol=1e-12)


def test_short_label_texts_are_not_padded_to_a_document_on_a_gpu():
    groups = _self_attention.group_texts([200, 180, 90, 5, 8, 7, 3], 2, torch.device("meta"))
    assert [(group.n, group.length) for group in groups] == [(2, 256), (1, 128), (4, 8)]


@pytest.mark.parametrize(("n_in", "n_out"), [(64, 16), (16, 64)])
def test_layers_in_bfloat16_are_close_to_those_in_float32(n_in, n_out):
    torch.manual_seed(0)
    tensors = [torch.randn(shape).bfloat16() for shape in ((40, n_in), (n_out, n_in), (n_out,), (40, n_out))]

    def result_and_gradients(dtype):
        x, weight, bias, factor = (tensor.to(dtype, copy=True) for tensor in tensors)
        inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
        result = LinearIn(dtype)(weight, bias, "attention")(x)
        return result, *torch.autograd.grad((result * factor).sum(), inputs)

    for got, expected in zip(*map(result_and_gradients, (torch.bfloat16, torch.float32)), strict=True):
        assert got.dtype == torch.bfloat16
        np.testing.assert_allclose(got.detach().float(), expected.detach(), atol=0.02 * expected.abs().max().item())


def roberta():
    config = RobertaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, hidden_act="relu",
    )  # fmt: skip
    return RobertaModel(config, add_pooling_layer=False)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_packed_equals_padded_in_values_and_gradients(tiny_encoder, kind):
    model = AutoModel.from_pretrained(tiny_encoder) if kind == "bert" else roberta()
    model.eval()
    assert is_bert(model)
    texts = ["the printer is on fire", "my invoice", "", "thank you for the invoice and the printer"]
    tokens = tokenize(AutoTokenizer.from_pretrained(tiny_encoder), texts, 32)
    pad_id = model.config.pad_token_id
    batch = pack(tokens, np.array([3, 0, 1, 2]))
    mask = batch.to_grid(torch.ones_like(batch.ids))
    packed = batch.to_grid(PackedBert(model, LinearIn(torch.float32))(batch.ids, batch.positions, batch.lengths))
    padded = model(input_ids=batch.to_grid(batch.ids, pad_id), attention_mask=mask).last_hidden_state * mask[:, :, None]
    np.testing.assert_allclose(packed.detach(), padded.detach(), atol=1e-5)

    weights = torch.randn_like(padded)
    parameters = [parameter for name, parameter in model.named_parameters() if "pooler" not in name]
    gradients = (torch.autograd.grad((output * weights).sum(), parameters) for output in (packed, padded))
    for got, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_bfloat16_stays_close(tiny_encoder):
    model = AutoModel.from_pretrained(tiny_encoder).eval()
    tokens = tokenize(AutoTokenizer.from_pretrained(tiny_encoder), ["the printer is on fire"], 32)
    batch = pack(tokens, np.array([0]))
    exact, rounded = (
        PackedBert(model, LinearIn(dtype))(batch.ids, batch.positions, batch.lengths).detach()
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert rounded.dtype == torch.float32
    np.testing.assert_allclose(rounded, exact, atol=0.05)


def test_decoders_are_left_to_transformers():
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, is_decoder=True)
    assert not is_bert(BertModel(config))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_with_the_given_probability(dtype, p):
    torch.manual_seed(0)
    n = 400_000
    mask = keep_mask(torch.Size([n]), p, dtype).float()
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask.mean() == pytest.approx(1 - p, abs=4 * (p * (1 - p) / n) ** 0.5 + 2**-15)
    pairs = mask.view(-1, 2)
    assert (pairs[:, 0] * pairs[:, 1]).mean() == pytest.approx((1 - p) ** 2, abs=0.005)  # neighbours are independent


def test_dropout_keeps_the_mean_and_passes_the_gradient_of_what_is_kept():
    torch.manual_seed(0)
    x = torch.ones(100_001, requires_grad=True)
    dropped = dropout(x, 0.2, training=True)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    dropped.sum().backward()
    np.testing.assert_array_equal(x.grad, dropped.detach())
    assert dropout(x, 0.2, training=False) is x
    torch.manual_seed(1)
    first = add_dropped(torch.full_like(x, 3.0), x, 0.2, training=True)
    torch.manual_seed(1)
    np.testing.assert_allclose(first.detach(), 3 + dropout(x, 0.2, training=True).detach())


def test_every_dropout_of_a_model_becomes_fast(tiny_encoder):
    model = AutoModel.from_pretrained(tiny_encoder)
    use_fast_dropout(model)
    kinds = {type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert kinds == {FastDropout}
