"""The attention against loops and against the paper's formulas in float64."""

import numpy as np
import pytest
import torch

from sklearn_bertlam import _attention
from sklearn_bertlam._module import LabelAttentionNetwork

B, L, K, H = 3, 5, 4, 6


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(B, L, H, generator=generator)
    labels = torch.randn(K, H, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)
    return tokens, labels, mask


def softmax(values):
    exponentials = [np.exp(value) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_document_attention_equals_a_loop(tensors, scale):
    tokens, labels, mask = tensors
    attention = _attention.document_attention(_attention.cosine_similarities(tokens, labels), mask, scale)
    pooled = _attention.pool(attention, tokens).numpy()
    for b in range(B):
        positions = [position for position in range(L) if mask[b, position]]
        vectors = tokens[b].double().numpy()
        best = [max(cosine(vectors[p], label) for label in labels.double().numpy()) for p in positions]
        weights = softmax([scale * value for value in best])
        expected = sum(weight * vectors[p] for weight, p in zip(weights, positions, strict=True))
        np.testing.assert_allclose(pooled[b], expected, atol=1e-5)


def test_label_wise_attention_equals_a_loop(tensors):
    tokens, labels, mask = tensors
    attention = _attention.label_wise_attention(_attention.cosine_similarities(tokens, labels), mask, 3.0)
    pooled = _attention.pool_per_label(attention, tokens).numpy()
    for b in range(B):
        positions = [position for position in range(L) if mask[b, position]]
        vectors = tokens[b].double().numpy()
        for k in range(K):
            weights = softmax([3.0 * cosine(vectors[p], labels[k].double().numpy()) for p in positions])
            expected = sum(weight * vectors[p] for weight, p in zip(weights, positions, strict=True))
            np.testing.assert_allclose(pooled[b, k], expected, atol=1e-5)


def test_attention_sums_to_one_and_leaves_masked_positions_out(tensors):
    tokens, labels, mask = tensors
    similarities = _attention.cosine_similarities(tokens, labels)
    per_document = _attention.document_attention(similarities, mask, 10.0)
    per_label = _attention.label_wise_attention(similarities, mask, 10.0)
    flat = _attention.mean_attention(mask)
    for attention in (per_document, flat, *per_label.unbind(dim=2)):
        np.testing.assert_allclose(attention.sum(dim=1), 1.0, atol=1e-6)
        assert (attention[~mask] == 0).all()


def test_document_network_is_the_papers_formula(tiny_encoder):
    """Equations 1 to 7 with scale 1, in numpy and float64 after the encoder."""
    from transformers import AutoModel, AutoTokenizer

    encoder, tokenizer = AutoModel.from_pretrained(tiny_encoder), AutoTokenizer.from_pretrained(tiny_encoder)
    labels = tokenizer(["printer", "wrong invoice"], padding=True, return_tensors="pt")
    label_content = np.array([[0, 1, 0, 0], [0, 1, 1, 0]], dtype=bool)
    network = LabelAttentionNetwork(
        encoder,
        2,
        attention="document",
        attention_scale=1.0,
        label_tokens={
            "input_ids": labels["input_ids"],
            "attention_mask": labels["attention_mask"],
            "content_mask": torch.from_numpy(label_content),
        },
    ).eval()
    texts = tokenizer(["the printer is on fire", "my invoice"], padding=True, return_tensors="pt")
    content = np.array([[0, 1, 1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0, 0]], dtype=bool)
    with torch.inference_mode():
        got = network(texts["input_ids"], texts["attention_mask"], torch.from_numpy(content)).numpy()
        V = encoder(**texts).last_hidden_state.double().numpy()
        label_states = encoder(**labels).last_hidden_state.double().numpy()

    C = np.stack([states[keep].mean(axis=0) for states, keep in zip(label_states, label_content, strict=True)])
    W, b = (parameter.detach().double().numpy() for parameter in (network.classifier.weight, network.classifier.bias))
    for document, keep, logits in zip(V, content, got, strict=True):
        vectors = document[keep]
        G = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ (C / np.linalg.norm(C, axis=1, keepdims=True)).T
        weights = np.exp(G.max(axis=1)) / np.exp(G.max(axis=1)).sum()
        np.testing.assert_allclose(logits, W @ (weights @ vectors) + b, atol=1e-5)


def test_learned_scale_is_at_most_100(tiny_encoder):
    from transformers import AutoModel

    network = LabelAttentionNetwork(AutoModel.from_pretrained(tiny_encoder), 2, attention="label-wise")
    assert network.scale.item() == pytest.approx(10.0)
    network.log_scale.data.fill_(50.0)
    assert network.scale.item() == 100.0


@pytest.mark.parametrize("attention", ["document", "label-wise"])
def test_label_texts_are_trained_through_the_encoder(tiny_encoder, attention):
    from transformers import AutoModel

    ids = torch.tensor([[2, 7, 3], [2, 8, 3]])
    label_tokens = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "content_mask": torch.tensor([[False, True, False]] * 2),
    }
    network = LabelAttentionNetwork(
        AutoModel.from_pretrained(tiny_encoder), 2, attention=attention, attention_scale=5.0, label_tokens=label_tokens
    )
    text = torch.tensor([[2, 9, 10, 11, 3]])
    network(text, torch.ones_like(text), torch.tensor([[False, True, True, True, False]])).sum().backward()
    gradient = network.encoder.embeddings.word_embeddings.weight.grad
    assert gradient[[7, 8]].abs().sum() > 0  # tokens that stand in the labels only
