"""MAGNET: vectors of labels that pass messages along a graph, against a vector of the text."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn.functional import leaky_relu

from sklearn_bertlam._base import NeuralTextClassifier
from sklearn_bertlam._batches import PackedTexts, TextDataset
from sklearn_bertlam._bert import LinearFactory, PackedBert
from sklearn_bertlam._encoders import check_max_length, load_model, load_tokenizer, make_model
from sklearn_bertlam._fitting import EpochRange
from sklearn_bertlam._text_encoder import TextEncoder, full_precision
from sklearn_bertlam._tokens import tokenize

from ._recurrent import BidirectionalLSTM
from ._word_level import TOKENS_AT_ONCE, start_from_log_odds


class GraphAttention(nn.Module):
    """One layer of graph attention over a weighted graph, heads averaged.

    Node i becomes ``tanh(mean over heads of sum over j of a_ij W h_j)`` with ``a_ij = A_ij exp(e_ij)``, scaled so that the
    absolute values of a row sum to 1, and ``e_ij = LeakyReLU(u W h_i + v W h_j)``. Where A is the identity, every node is
    a network of its own.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Numbers per node before and after.
    n_heads : int
        Heads.
    """

    def __init__(self, n_inputs: int, n_outputs: int, n_heads: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_heads, n_inputs, n_outputs))
        self.receiver = nn.Parameter(torch.empty(n_heads, n_outputs, 1))
        self.sender = nn.Parameter(torch.empty(n_heads, n_outputs, 1))
        for head in range(n_heads):
            for parameter in (self.weight, self.receiver, self.sender):
                nn.init.xavier_uniform_(parameter.data[head])

    def forward(self, nodes: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Return new nodes (K, n_outputs) from nodes (K, n_inputs) and the adjacency (K, K), row: receiver."""
        messages = nodes @ self.weight  # (heads, K, n_outputs)
        energies = leaky_relu(messages @ self.receiver + (messages @ self.sender).transpose(1, 2), 0.2)  # (heads, K, K)
        attention = adjacency * (energies - energies.amax(dim=2, keepdim=True)).exp()
        attention = attention / attention.abs().sum(dim=2, keepdim=True).clamp(min=1e-12)
        return torch.tanh((attention @ messages).mean(dim=0))


class SharedEncoder(NamedTuple):
    """What many batches of a prediction share."""

    encoder: PackedBert | None
    labels: torch.Tensor


class MAGNET(TextEncoder):
    """The network: frozen encoder, BiLSTM over its tokens, graph attention over labels, and their product.

    B texts, L tokens, K labels, H numbers per token of the encoder, F numbers per text.

    Parameters
    ----------
    encoder : Module
        A transformers model. It stays as it is.
    nodes : Tensor of shape (K, H), or None
        The vectors of the label texts. None: K vectors that are trained.
    adjacency : Tensor of shape (K, K)
        The graph to start from.
    hidden_size : int
        F / 2, the units of either direction of the LSTM.
    n_layers, n_heads : int
        Layers of graph attention, and heads of each.
    dropout : float
        Dropout on tokens, between the graph's layers, and on the text's vector.
    """

    tokens_at_once = TOKENS_AT_ONCE  # the steps of the LSTM are fast with many texts at once

    def __init__(
        self,
        encoder: Any,
        nodes: torch.Tensor | None,
        adjacency: torch.Tensor,
        *,
        hidden_size: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ):
        super().__init__(encoder.requires_grad_(False))
        n_labels, size = len(adjacency), 2 * hidden_size
        self.reader = BidirectionalLSTM(self.hidden_size, hidden_size)
        self.adjacency = nn.Parameter(adjacency)
        sizes = [self.hidden_size, *[size] * n_layers]
        layers = [GraphAttention(sizes[layer], size, n_heads) for layer in range(n_layers)]
        self.graph: Any = nn.ModuleList(layers)
        self.bias = nn.Parameter(torch.zeros(n_labels))
        self.dropout = nn.Dropout(dropout)
        if nodes is None:
            self.nodes = nn.Parameter(torch.empty(n_labels, self.hidden_size).normal_(std=self.hidden_size**-0.5))
        else:
            self.register_buffer("nodes", nodes)

    def train(self, mode: bool = True) -> MAGNET:
        """Switch to training or evaluation, but for the encoder, which never drops anything."""
        super().train(mode)
        self.encoder.eval()
        return self

    def labels(self) -> torch.Tensor:
        """Return the vectors of the labels after all layers of the graph (K, F)."""
        nodes = self.nodes
        for number, layer in enumerate(self.graph):
            nodes = layer(self.dropout(nodes) if number else nodes, self.adjacency)
        return nodes

    def prepare(self, make_linear: LinearFactory | None = None) -> SharedEncoder:
        """Compute what all batches of a prediction share; call it and use it in inference mode."""
        with torch.autocast(self.adjacency.device.type, enabled=False):
            labels = self.labels()
        return SharedEncoder(self.packed_encoder(make_linear), labels)

    def forward(self, batch: PackedTexts, prepared: SharedEncoder | None = None) -> torch.Tensor:
        """Return logits (B, K)."""
        with torch.no_grad():
            (tokens,) = self.encode(batch, encoder=prepared and prepared.encoder)  # (B, L, H)
        with full_precision(tokens):
            _, last = self.reader(self.dropout(tokens), batch)  # (B, 1, F)
            texts = last.squeeze(1)  # (B, F)
            labels = self.labels() if prepared is None else prepared.labels
            return self.dropout(texts) @ labels.T + self.bias


def make_adjacency(kind: str, targets: sp.csr_array) -> torch.Tensor:
    """Return the graph (K, K) that training starts from.

    Parameters
    ----------
    kind : {"random", "cooccurrence", "identity"}
        Glorot's uniform numbers; the share of each label's documents that carry the other one too; or no neighbours.
    targets : csr_array of shape (n, K)
        The training data; stored entries are 1 or NaN.
    """
    n_labels = targets.shape[1]
    if kind == "random":
        return nn.init.xavier_uniform_(torch.empty(n_labels, n_labels))
    if kind == "identity":
        return torch.eye(n_labels)
    applies = sp.csr_array(targets == 1).astype(np.float32)
    together = (applies.T @ applies).toarray()  # (K, K)
    shares = together / np.maximum(np.diag(together), 1.0)[:, None]
    np.fill_diagonal(shares, 1.0)
    return torch.from_numpy(shares.astype(np.float32))


class MAGNETClassifier(NeuralTextClassifier):
    """Graph attention over labels, against a recurrent network over the tokens of a frozen encoder [1]_.

    Parameters
    ----------
    encoder : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A BERT-like model: the path of a folder or a name on the Hugging Face hub. It is not trained.
    adjacency : {"random", "cooccurrence", "identity"}, default="random"
        Where the label graph, which is trained, starts: random numbers, the share of a label's documents that carry the
        other label, or no neighbours.
    label_names : sequence of str, dict of label to str, or None, default=None
        The text of each label, whose vector is its node. With None, the columns of a DataFrame y are the label texts; where
        there is no text at all, nodes are trained.
    hidden_size : int, default=250
        Units of either direction of the recurrent network.
    n_layers : int, default=2
        Layers of graph attention.
    n_heads : int, default=4
        Attention heads of each layer, averaged.
    max_length : int, default=256
        Texts are cut to this number of tokens, the special ones included.
    dropout : float, default=0.5
        Dropout on tokens, between the graph's layers, and on the text's vector.
    learning_rate : float, default=1e-3
        Adam's, at its peak; it rises over the first tenth of the updates and falls to zero.
    batch_size : int, default=64
        Texts per update; the paper has 250.
    max_epochs : int or "auto", default="auto"
        Passes over the training texts; "auto" is at least 10, and as many as give 800 updates, but at most 100.
    early_stopping : bool, default=False
        Hold out a part, stop when its average precision no longer rises, and keep the best weights.
    validation_fraction : float, default=0.1
        The part that is held out.
    n_iter_no_change : int, default=2
        Epochs without improvement after which training stops.
    pos_weight : float, array-like of shape (n_labels,) or None, default=None
        Factor on the loss of positive entries.
    threshold : float, array-like of shape (n_labels,) or "tuned", default=0.5
        Probability above which ``predict`` reports a label; "tuned" learns it on texts that are held out.
    device : str, default="auto"
        "cpu", "cuda", ...; "auto" takes a GPU where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The type that the encoder computes in.
    random_state : int, RandomState instance or None, default=None
        Initial weights, dropout and order of the texts.
    verbose : int, default=0
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels: column names of y, ``label_names``, or 0 to n_labels - 1.
    n_labels_ : int
        Number of labels.
    history_ : list of dict
        Loss and speed of every epoch.
    n_iter_ : int
        Number of epochs.
    module_ : Module
        The trained network.
    tokenizer_ : PreTrainedTokenizerFast
        The encoder's tokenizer.

    References
    ----------
    .. [1] A. Pal et al., "MAGNET: Multi-Label Text Classification using Attention-based Graph Neural Network", ICAART 2020.

    Examples
    --------
    >>> from sklearn_bertlam.baselines import MAGNETClassifier
    >>> clf = MAGNETClassifier(max_epochs=100, random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict(["red wine"])
    array([[1, 1]])
    """

    _epoch_range = EpochRange(fewest_updates=800, fewest_epochs=10, most_epochs=100)
    _max_gradient_norm = 10.0
    weight_decay = 0.0
    warmup_fraction = 0.1
    warm_start = False
    callbacks = None
    _parameter_constraints: dict = {
        **NeuralTextClassifier._parameter_constraints,
        "encoder": [str, os.PathLike],
        "adjacency": [StrOptions({"random", "cooccurrence", "identity"})],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        encoder="sentence-transformers/all-MiniLM-L6-v2",
        *,
        adjacency="random",
        label_names=None,
        hidden_size=250,
        n_layers=2,
        n_heads=4,
        max_length=256,
        dropout=0.5,
        learning_rate=1e-3,
        batch_size=64,
        max_epochs="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=2,
        pos_weight=None,
        threshold=0.5,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.adjacency = adjacency
        self.label_names = label_names
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.max_length = max_length
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.pos_weight = pos_weight
        self.threshold = threshold
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _make_tokenizer(self, texts):
        return load_tokenizer(self.encoder)

    def _make_module(self, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype) -> MAGNET:
        encoder = load_model(self.encoder, dropout=0.0)
        check_max_length(self.max_length, encoder, self.encoder)
        module = self._network(encoder, make_adjacency(self.adjacency, data.known_targets))
        start_from_log_odds(module, data)
        return module.to(self.device_)

    def _blank_module(self, encoder_config) -> MAGNET:
        return self._network(make_model(encoder_config), torch.eye(self.n_labels_))

    def _network(self, encoder: Any, adjacency: torch.Tensor) -> MAGNET:
        return MAGNET(
            encoder,
            self._label_nodes(encoder),
            adjacency,
            hidden_size=int(self.hidden_size),
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            dropout=self.dropout,
        )

    def _label_nodes(self, encoder: Any) -> torch.Tensor | None:
        if self._label_texts is None:
            return None
        tokens = tokenize(self.tokenizer_, self._label_texts, self.max_length)
        with torch.no_grad():
            return TextEncoder(encoder.eval()).text_vectors(tokens)

    def _head_learning_rate(self) -> float:
        return self.learning_rate
