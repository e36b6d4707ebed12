"""LEAM: words and labels in one space, and attention to the words that are near a label."""

from __future__ import annotations

from numbers import Integral

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn.functional import conv1d, cross_entropy, normalize, pad

from sklearn_bertlam._base import NeuralTextClassifier
from sklearn_bertlam._batches import PackedTexts, TextDataset
from sklearn_bertlam._fitting import EpochRange
from sklearn_bertlam._text_module import TextModule
from sklearn_bertlam._tokens import RaggedTokens, tokenize

from ._word_level import TOKENS_AT_ONCE, WordEmbedding, WordLevelClassifier, start_from_log_odds

_WIDTHS = {"document": 55, "label-wise": 10}


class LEAM(TextModule):
    """The network: compatibility of words and labels, attention, one score per label.

    B documents, L positions, K labels, E numbers per word.

    Parameters
    ----------
    embedding : WordEmbedding
        The word vectors.
    labels : Tensor of shape (K, E)
        The label vectors to start from.
    variant : {"document", "label-wise"}
        One attention per document or one per label.
    width : int
        Words whose compatibilities are looked at together.
    dropout : float
        Dropout on the document vector and on the hidden layer.
    """

    tokens_at_once = TOKENS_AT_ONCE

    def __init__(self, embedding: WordEmbedding, labels: torch.Tensor, *, variant: str, width: int, dropout: float):
        super().__init__()
        n_labels, size = labels.shape
        self.embedding = embedding
        self.labels = nn.Parameter(labels)
        self.is_label_wise = variant == "label-wise"
        self.values_per_text = labels.numel() if self.is_label_wise else size
        self.phrases = nn.Conv1d(n_labels, n_labels, width)
        self.classifier = nn.Linear(size, n_labels)
        hidden = [] if self.is_label_wise else [nn.Linear(size, size), nn.ReLU(), nn.Dropout(dropout)]
        self.dropout, self.hidden = nn.Dropout(dropout), nn.Sequential(*hidden)

    def compatibility(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return how well the phrase around each word goes with each label (B, K, L), zero outside the texts."""
        if self.is_label_wise:
            similarity = words @ self.labels.T  # (B, L, K)
        else:
            similarity = normalize(words, dim=-1) @ normalize(self.labels, dim=-1).T
        similarity = (similarity * mask[:, :, None]).transpose(1, 2)  # (B, K, L)
        before, after = (self.phrases.kernel_size[0] - 1) // 2, self.phrases.kernel_size[0] // 2
        return conv1d(pad(similarity, (before, after)), self.phrases.weight, self.phrases.bias).relu()

    def attention(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return weights over positions (B, 1, L), or (B, K, L) label-wise; they sum to 1."""
        compatibility = self.compatibility(words, mask)
        if not self.is_label_wise:
            compatibility = compatibility.amax(dim=1, keepdim=True)
        return compatibility.masked_fill(~mask[:, None], -torch.inf).softmax(dim=2)

    def forward(self, batch: PackedTexts) -> torch.Tensor:
        """Return logits (B, K)."""
        words = self.embedding.grid(batch)  # (B, L, E)
        documents = self.attention(words, batch.content_mask) @ words  # (B, 1 or K, E)
        if self.is_label_wise:
            return (self.dropout(documents) * self.classifier.weight).sum(dim=2) + self.classifier.bias
        return self._classify(documents.squeeze(1))

    def _classify(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.hidden(self.dropout(vectors)))

    def penalty(self) -> torch.Tensor:
        """Return the paper's regulariser: how badly label vectors are classified as their own labels.

        The paper adds it to a loss that is one cross-entropy for each document. Where the loss is the mean of K binary ones,
        it is divided by K as well; undivided, it drowns the documents.
        """
        n_labels = len(self.labels)
        return cross_entropy(self._classify(self.labels), torch.arange(n_labels, device=self.labels.device)) / n_labels


class LEAMClassifier(WordLevelClassifier):
    """Label-embedding attentive model [1]_ over trainable word vectors.

    Parameters
    ----------
    variant : {"document", "label-wise"}, default="document"
        - "document": cosines of words and labels, a convolution over positions, the best label per position, and one
          document vector, classified by a network with a hidden layer.
        - "label-wise": dot products, and one attention, document vector and score per label, as in the authors'
          multi-label experiments.
    width : int or "auto", default="auto"
        Words whose compatibilities with the labels are looked at together; "auto" is 55, or 10 label-wise.
    label_names : sequence of str, dict of label to str, or None, default=None
        The text of each label; its words' mean vector is where the label's own vector starts. Without text it starts at
        random.
    vocabulary_size : int, default=50000
        The most frequent words that have a vector of their own.
    embedding_size : int, default=300
        Numbers per word.
    word_vectors : str, path-like or None, default=None
        A file of word vectors to start from: text, or ``.bin`` in word2vec's binary format, either also as ``.gz``.
    max_length : int, default=500
        Texts are cut to this number of words.
    dropout : float, default=0.5
        Dropout on the document vector and on the hidden layer.
    learning_rate : float, default=2e-3
        Adam's, at its peak; it rises over the first tenth of the updates and falls to zero.
    batch_size : int, default=64
        Texts per update.
    max_epochs : int or "auto", default="auto"
        Passes over the training texts; "auto" is at least 4, and as many as give 500 updates, but at most 40.
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
        The words that were learned.

    References
    ----------
    .. [1] G. Wang et al., "Joint Embedding of Words and Labels for Text Classification", ACL 2018.

    Examples
    --------
    >>> from sklearn_bertlam.baselines import LEAMClassifier
    >>> clf = LEAMClassifier(label_names=["wine", "red"], random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict(["red wine"])
    array([[1, 1]])
    """

    _parameter_constraints: dict = {
        **WordLevelClassifier._parameter_constraints,
        "label_names": NeuralTextClassifier._parameter_constraints["label_names"],
        "variant": [StrOptions(set(_WIDTHS))],
        "width": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }

    _epoch_range = EpochRange(fewest_updates=500, fewest_epochs=4, most_epochs=40)  # more learn the documents by heart

    def __init__(
        self,
        *,
        variant="document",
        width="auto",
        label_names=None,
        vocabulary_size=50_000,
        embedding_size=300,
        word_vectors=None,
        max_length=500,
        dropout=0.5,
        learning_rate=2e-3,
        batch_size=64,
        max_epochs="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=2,
        pos_weight=None,
        threshold=0.5,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.variant = variant
        self.width = width
        self.label_names = label_names
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.word_vectors = word_vectors
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
        self.random_state = random_state
        self.verbose = verbose

    def _make_tokenizer(self, texts):
        return super()._make_tokenizer([*texts, *(self._label_texts or [])])

    def _make_network(self, embedding: WordEmbedding, data: TextDataset) -> LEAM:
        width = _WIDTHS[self.variant] if self.width == "auto" else self.width
        labels = _label_vectors(embedding, self._tokenize_labels(), self.n_labels_)
        network = LEAM(embedding, labels, variant=self.variant, width=width, dropout=self.dropout)
        start_from_log_odds(network.classifier, data)
        return network

    def _tokenize_labels(self) -> RaggedTokens | None:
        return None if self._label_texts is None else tokenize(self.tokenizer_, self._label_texts, self.max_length)


def _label_vectors(embedding: WordEmbedding, tokens: RaggedTokens | None, n_labels: int) -> torch.Tensor:
    """Return the mean word vector (K, E) of each label's text, random where it has none."""
    vectors = torch.empty(n_labels, embedding.embedding_dim).normal_(std=embedding.weight.std().item())
    for label in range(0 if tokens is None else n_labels):
        ids = tokens.ids[tokens.offsets[label] : tokens.offsets[label + 1]]  # type: ignore[union-attr]
        if len(ids):
            vectors[label] = embedding.weight.data[torch.from_numpy(ids).long()].mean(dim=0)
    return vectors
