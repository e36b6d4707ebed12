"""The networks of the baselines against their formulas, worked out in another way."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from conftest import LABELS, TEXTS, Y

from sklearn_bertlam._batches import pack
from sklearn_bertlam._tokens import tokenize
from sklearn_bertlam.baselines import LEAMClassifier, MAGNETClassifier, TextCNNClassifier
from sklearn_bertlam.baselines._magnet import make_adjacency
from sklearn_bertlam.baselines._recurrent import BidirectionalLSTM

SMALL = {"embedding_size": 6, "batch_size": 4, "max_epochs": 1, "random_state": 0}


def batch_of(clf, texts):
    """Pack texts, given from long to short."""
    tokens = tokenize(clf.tokenizer_, texts, 500)
    return pack(tokens, np.arange(len(texts)))


def softmax(values):
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def leam_attention(words, labels, weight, bias, is_label_wise):
    """LEAM's attention over one text (L, E) without padding, position by position."""
    width = weight.shape[2]
    if is_label_wise:
        similarity = labels @ words.T  # (K, L)
    else:
        unit = [matrix / np.linalg.norm(matrix, axis=1, keepdims=True) for matrix in (labels, words)]
        similarity = unit[0] @ unit[1].T
    padded = np.pad(similarity, ((0, 0), ((width - 1) // 2, width // 2)))
    n_labels, length = similarity.shape
    phrases = np.empty((n_labels, length))
    for label in range(n_labels):
        for position in range(length):
            window = padded[:, position : position + width]
            phrases[label, position] = max(0.0, np.sum(weight[label] * window) + bias[label])
    return softmax(phrases) if is_label_wise else softmax(phrases.max(axis=0, keepdims=True))


@pytest.mark.parametrize(("variant", "width"), [("document", 5), ("document", "auto"), ("label-wise", "auto")])
def test_leam_equals_its_formula(variant, width):
    clf = LEAMClassifier(variant=variant, width=width, label_names=LABELS, dropout=0.0, **SMALL).fit(TEXTS, Y)
    network = clf.module_
    text = "thank you for the printer on fire"
    ids = tokenize(clf.tokenizer_, [text], 500).ids
    w = {name: tensor.detach().numpy().astype(float) for name, tensor in network.state_dict().items()}
    words = w["embedding.weight"][ids]  # (L, E)
    attention = leam_attention(
        words, w["labels"], w["phrases.weight"], w["phrases.bias"], is_label_wise=variant == "label-wise"
    )
    vectors = attention @ words  # (1 or K, E)
    if variant == "label-wise":
        expected = (vectors * w["classifier.weight"]).sum(axis=1) + w["classifier.bias"]
    else:
        hidden = np.maximum(0, w["hidden.0.weight"] @ vectors[0] + w["hidden.0.bias"])
        expected = w["classifier.weight"] @ hidden + w["classifier.bias"]
    np.testing.assert_allclose(clf.decision_function([text])[0], expected, atol=1e-5)


def test_leam_regulariser_equals_its_formula():
    clf = LEAMClassifier(label_names=LABELS, **SMALL).fit(TEXTS, Y)
    w = {name: tensor.detach().numpy().astype(float) for name, tensor in clf.module_.state_dict().items()}
    hidden = np.maximum(0, w["labels"] @ w["hidden.0.weight"].T + w["hidden.0.bias"])
    probabilities = softmax(hidden @ w["classifier.weight"].T + w["classifier.bias"])
    expected = -np.log(np.diag(probabilities)).mean() / len(LABELS)  # as the loss is a mean over labels
    assert clf.module_.penalty().item() == pytest.approx(expected, rel=1e-4)


def test_leam_labels_start_from_their_words():
    clf = LEAMClassifier(label_names=["the printer", "invoice", "unheard"], **{**SMALL, "max_epochs": 0}).fit(TEXTS, Y)
    vocabulary, table = clf.tokenizer_.get_vocab(), clf.module_.embedding.weight
    mean = (table[vocabulary["the"]] + table[vocabulary["printer"]]) / 2
    torch.testing.assert_close(clf.module_.labels[0], mean)
    torch.testing.assert_close(clf.module_.labels[1], table[vocabulary["invoice"]])


def test_text_cnn_equals_its_formula():
    clf = TextCNNClassifier(filter_widths=(2, 3), n_filters=4, dropout=0.0, **SMALL).fit(TEXTS, Y)
    text = "thank you for the printer"
    ids = tokenize(clf.tokenizer_, [text], 500).ids
    w = {name: tensor.detach().numpy().astype(float) for name, tensor in clf.module_.state_dict().items()}
    words = w["embedding.weight"][ids]
    features = []
    for number, width in enumerate((2, 3)):
        weight, bias = w[f"filters.filters.{number}.weight"], w[f"filters.filters.{number}.bias"]
        padded = np.pad(words, ((0, width - 1), (0, 0)))
        answers = [np.einsum("fel,le->f", weight, padded[i : i + width]) + bias for i in range(len(words))]
        features.append(np.maximum(0, np.array(answers)).max(axis=0))
    expected = w["classifier.weight"] @ np.concatenate(features) + w["classifier.bias"]
    np.testing.assert_allclose(clf.decision_function([text])[0], expected, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------------- MAGNET


@pytest.fixture
def magnet(tiny_encoder):
    def make(**parameters):
        settings = {"max_length": 32, "hidden_size": 8, "batch_size": 4, "max_epochs": 1, "precision": "float32"}
        return MAGNETClassifier(tiny_encoder, random_state=0, **(settings | parameters))

    return make


def test_graph_attention_without_neighbours_is_a_network_per_node(magnet):
    """With the identity, attention to oneself is 1, and a node is tanh of the mean of its heads' products."""
    clf = magnet(adjacency="identity", label_names=LABELS, n_heads=3, max_epochs=0).fit(TEXTS, Y)
    network = clf.module_.eval()
    nodes = network.nodes.numpy().astype(float)
    for layer in network.graph:
        weights = layer.weight.detach().numpy().astype(float)
        nodes = np.array([np.tanh(np.mean([node @ weight for weight in weights], axis=0)) for node in nodes])
    np.testing.assert_allclose(network.labels().detach(), nodes, atol=1e-5)


def test_graph_attention_equals_its_formula(magnet):
    clf = magnet(label_names=LABELS, n_heads=2, n_layers=1).fit(TEXTS, Y)
    network = clf.module_.eval()
    layer, adjacency = network.graph[0], network.adjacency.detach().numpy().astype(float)
    weight, receiver, sender = (
        parameter.detach().numpy().astype(float) for parameter in (layer.weight, layer.receiver, layer.sender)
    )
    expected = np.zeros((3, weight.shape[2]))
    for head in range(2):
        messages = network.nodes.numpy().astype(float) @ weight[head]
        for i in range(3):
            energies = np.array([(messages[i] @ receiver[head] + messages[j] @ sender[head]).item() for j in range(3)])
            energies = np.where(energies > 0, energies, 0.2 * energies)
            shares = adjacency[i] * np.exp(energies)
            expected[i] += shares @ messages / np.abs(shares).sum() / 2
    np.testing.assert_allclose(network.labels().detach(), np.tanh(expected), atol=1e-5)


def test_the_label_graph_is_trained_and_the_encoder_is_not(magnet, tiny_encoder):
    before = magnet(adjacency="cooccurrence", label_names=LABELS, max_epochs=0).fit(TEXTS, Y).module_
    after = magnet(adjacency="cooccurrence", label_names=LABELS, max_epochs=3).fit(TEXTS, Y).module_
    assert not torch.equal(before.adjacency, after.adjacency)
    for old, new in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True):
        assert torch.equal(old, new)


def test_graphs_to_start_from():
    targets = sp.csr_array(np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, np.nan, 0]], dtype=np.float32))
    shares = make_adjacency("cooccurrence", targets).numpy()
    np.testing.assert_allclose(shares, [[1, 2 / 3, 0], [1, 1, 0], [0, 0, 1]], atol=1e-6)
    np.testing.assert_array_equal(make_adjacency("identity", targets), np.eye(3))
    random = make_adjacency("random", targets)
    assert random.shape == (3, 3) and len(random.unique()) == 9


def test_magnet_without_label_texts_learns_its_nodes(magnet):
    clf = magnet().fit(TEXTS, Y)
    assert isinstance(clf.module_.nodes, torch.nn.Parameter)
    assert clf.predict_proba(TEXTS).shape == Y.shape


# ---------------------------------------------------------------------------------------------------------------- recurrent


def test_reading_both_ways_equals_torch_on_each_text_alone():
    clf = TextCNNClassifier(**{**SMALL, "max_epochs": 0}).fit(TEXTS, Y)
    texts = ["thank you for the printer on fire", "the invoice is wrong", "fire", ""]
    batch = batch_of(clf, texts)
    reader = BidirectionalLSTM(6, 5, n_layers=2)
    reference = torch.nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
    for layer in range(2):
        for suffix, module in (("", reader.forwards[layer]), ("_reverse", reader.backwards[layer])):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(reference, f"{name}_l{layer}{suffix}").data.copy_(getattr(module, f"{name}_l0").data)
    x = batch.to_grid(torch.randn(len(batch.ids), 6))
    with torch.no_grad():
        outputs, states = reader(x, batch)
        for row, length in enumerate((7, 4, 1, 1)):
            expected, (hidden, _) = reference(x[row : row + 1, :length])
            torch.testing.assert_close(outputs[row, :length], expected[0])
            torch.testing.assert_close(states[row], hidden[:, 0].view(2, 10))
