"""The attention against loops and against the paper's formulas in float64."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from sklearn_bertlam import _attention
from sklearn_bertlam._batches import pack
from sklearn_bertlam._module import LabelAttentionNetwork
from sklearn_bertlam._tokens import tokenize

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
    encoder, tokenizer = AutoModel.from_pretrained(tiny_encoder), AutoTokenizer.from_pretrained(tiny_encoder)
    texts, labels = ["the printer is on fire", "my invoice"], ["wrong invoice", "printer"]
    network = LabelAttentionNetwork(
        encoder, 2, attention="document", attention_scale=1.0, label_tokens=tokenize(tokenizer, labels, 32)
    ).eval()
    with torch.inference_mode():
        got = network(pack(tokenize(tokenizer, texts, 32), np.arange(2))).numpy()
        V, C = (
            [encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 1:-1].double().numpy() for text in some]
            for some in (texts, labels)
        )
    C = np.stack([states.mean(axis=0) for states in C])
    W, b = (parameter.detach().double().numpy() for parameter in (network.classifier.weight, network.classifier.bias))
    for vectors, logits in zip(V, got, strict=True):
        G = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ (C / np.linalg.norm(C, axis=1, keepdims=True)).T
        weights = np.exp(G.max(axis=1)) / np.exp(G.max(axis=1)).sum()
        np.testing.assert_allclose(logits, W @ (weights @ vectors) + b, atol=1e-5)


def test_learned_scale_is_at_most_100(tiny_encoder):
    network = LabelAttentionNetwork(AutoModel.from_pretrained(tiny_encoder), 2, attention="label-wise")
    assert network.scale.item() == pytest.approx(10.0)
    network.log_scale.data.fill_(50.0)
    assert network.scale.item() == 100.0


@pytest.fixture
def make_network(tiny_encoder):
    """Make a network over the label texts "printer", "invoice" and "fire", which do not stand in ``text``."""
    encoder, tokenizer = AutoModel.from_pretrained(tiny_encoder), AutoTokenizer.from_pretrained(tiny_encoder)
    label_tokens = tokenize(tokenizer, ["printer", "invoice", "fire"], 32)

    def make(**parameters):
        network = LabelAttentionNetwork(encoder, 3, attention_scale=5.0, label_tokens=label_tokens, **parameters)
        return network, pack(tokenize(tokenizer, ["thank you"], 32), np.arange(1)), tokenizer

    return make


@pytest.mark.parametrize("attention", ["document", "label-wise"])
def test_label_texts_are_trained_through_the_encoder(make_network, attention):
    network, text, tokenizer = make_network(attention=attention)
    network(text).sum().backward()
    gradient = network.encoder.embeddings.word_embeddings.weight.grad
    assert gradient[tokenizer.convert_tokens_to_ids(["printer", "invoice", "fire"])].abs().sum() > 0


def test_labels_take_turns_to_be_read(make_network):
    network, text, tokenizer = make_network(attention="label-wise", labels_per_update=1)
    words = tokenizer.convert_tokens_to_ids(["printer", "invoice", "fire"])
    read = []
    for _ in range(4):
        network.zero_grad()
        network.start_update()
        network(text).sum().backward()
        read.append(int(network.encoder.embeddings.word_embeddings.weight.grad[words].abs().sum(dim=1).argmax()))
    assert sorted(read[:3]) == [0, 1, 2]
    assert read[3] == read[0]


def test_labels_that_wait_keep_their_vectors(make_network):
    """Without dropout and without a change of weights, taking turns must not be seen in the logits."""
    all_at_once, text, _ = make_network(attention="label-wise", dropout=0.0)
    for module in all_at_once.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    in_turn, _, _ = make_network(attention="label-wise", dropout=0.0, labels_per_update=1)
    in_turn.load_state_dict(all_at_once.state_dict())
    for _ in range(3):
        in_turn.start_update()
        np.testing.assert_allclose(in_turn(text).detach(), all_at_once(text).detach(), atol=1e-5)
