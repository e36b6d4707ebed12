"""BertLamClassifier: its parameters, its documentation, and what makes it BERT-LAM."""

from __future__ import annotations

import os
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._base import NeuralTextClassifier
from ._fitting import EVEN, Fitting
from ._validation import check_new_labels, check_targets, check_texts, check_threshold, in_order_of, object_array
from .exceptions import InvalidTargetError

if TYPE_CHECKING:
    import torch

    from ._batches import TextDataset
    from ._module import LabelAttentionNetwork
    from ._tokens import RaggedTokens

_MOST_VALUES_FOR_START = 2**29  # 1 GiB in half precision
_LABEL_SHARE, _LABEL_TOKENS = 0.03, 96
_LEARNING_RATE, _WIDTH = 2e-4, 384
_MOST_LABELS_FOR_WORDS, _MOST_DOCUMENTS_FOR_WORDS = 1000, 50_000
_PAPER_MAX_LENGTH = {"aapd": 128, "rcv1-v2": 126}


def _is_given_names(self) -> bool:
    return "label_names" in self._get_param_names()


class BertLamClassifier(NeuralTextClassifier):
    """Multi-label text classifier with BERT and label attention.

    Text and label names go through the same pretrained encoder; every token is compared with every label by the cosine of
    their vectors; the tokens most like a label weigh most in the vector that decides on it [1]_.

    Parameters
    ----------
    encoder : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A BERT-like model: the path of a folder or a name on the Hugging Face hub. It is looked for as a folder, in the
        embedded package (the default encoder), in the local cache and on the hub, in this order, and the network is used
        only for the last. ``"name@revision"`` takes a branch, a tag or the hash of a commit, which alone can never change.
    attention : {"label-wise", "document", "mean", "cls"}, default="label-wise"
        - "document": with ``attention_scale=1.0`` the paper's equations 3 to 6. A token's weight comes from the label it is
          most like, and one document vector serves all labels.
        - "label-wise": one softmax over the tokens per label, and one document vector per label, scaled to unit length.
        - "mean": the mean of the token vectors, scaled to unit length; no label vectors.
        - "cls": the vector of the first token, which the paper calls NoLAM; no label vectors.
    attention_scale : float or "learned", default="learned"
        Factor on the cosines before the softmax of equation 5. The paper has 1, which is close to mean pooling because
        cosines lie within [-1, 1]; "learned" starts at 10 and is trained.
    label_names : sequence of str, dict of label to str, or None, default=None
        The text that the encoder reads for each label: one per column of y, or a dict from label to description. With
        None, the columns of a DataFrame y are the label texts. Where there is no text at all, the label vectors are
        a trained table, each started from the mean encoded document that carries the label. For an array y, such as
        ``cross_val_predict`` makes of a DataFrame, a dict has to be in the order of the columns.
    labels_per_update : int, "auto" or None, default="auto"
        How many label texts the encoder reads anew in every update of training, in turn; the other label vectors stay as
        they were last read. None reads all of them every time, as the paper has it, which takes long with many labels.
        "auto" reads as many as make up 3 % of the tokens, but 96 tokens at least.
    head_init : {"logistic", "random"}, default="logistic"
        Where the last layer starts: from a logistic regression per label on the vectors that it reads while the encoder
        is not yet trained, or from random weights and each label's log-odds.
    word_share : float, default=0.45
        The share of a logistic regression on TF-IDF of word-pieces, and of pairs of neighbours that at least three texts
        have, in the logit of a label that has many examples. With n examples it is n / (n + 20) of that. The two err on
        different texts; 0 is the network alone, as in the paper. All word-pieces of a text count, also those behind
        ``max_length``. With more than 1,000 labels the share is always 0. Where training goes on, the regression stays that
        of the first texts.
    fit_cardinality : bool, default=True
        Whether probabilities follow how many labels the training texts have: if all have one to three, a text whose logits
        speak for none or for five is taken to have one to three as well, by how frequent each number is compared with
        labels that come independently of one another. Nothing changes where the numbers vary as much as by chance, or
        more. Texts with an unknown label are not counted. False leaves every label to itself, as in the paper.
    max_length : int, default=256
        The most tokens that the encoder reads at once, the special ones included.
    long_text : {"truncate", "head-tail", "windows"}, default="truncate"
        What becomes of longer texts. "truncate" reads their beginning, "head-tail" as much of their beginning as of their
        end. "windows" reads all of it, in overlapping windows whose tokens meet again before the attention over them, so
        that each label looks at the whole text; training reads the first 16 windows.
    stride : int, default=32
        The tokens that neighbouring windows share.
    dropout : float, default=0.1
        Dropout in the encoder and before the last layer. Attention weights are not dropped.
    learning_rate : float or "auto", default="auto"
        Peak learning rate of the encoder. "auto" falls with the square of the encoder's width: 2e-4 for up to 384 units,
        the best of 5e-5, 1e-4 and 2e-4 on the support requests, and 5e-5, the paper's, for the 768 of a base-size BERT.
    head_learning_rate : float, default=1e-3
        Peak learning rate of all other parameters.
    weight_decay : float, default=0.01
        Decoupled weight decay of matrices.
    warmup_fraction : float, default=0.1
        Part of the updates in which the learning rates rise; after it they fall linearly to 0.
    batch_size : int, default=32
        Texts per update.
    max_epochs : int or "auto", default="auto"
        Passes over the training texts. "auto" makes as many as give 60 updates, but at least 3 and at most 30. 0
        leaves the encoder as it is and the last layer as ``head_init`` made it.
    early_stopping : bool, default=False
        Whether to set part of the texts aside, stop when average precision on them no longer rises (or, where none of them
        has a label, the loss no longer falls), and keep the best weights, those before the first update included.
    validation_fraction : float, default=0.1
        The part set aside for ``early_stopping`` and for ``threshold="tuned"``, with its share of every label.
    n_iter_no_change : int, default=2
        Epochs without a higher average precision after which ``early_stopping`` stops.
    pos_weight : float, array-like of shape (n_labels,) or None, default=None
        Factor on the loss of positive entries. Probabilities are no longer those of the training texts then, so that
        ``threshold="auto"`` is 0.5 and ``fit_cardinality`` has no effect.
    threshold : float, array-like of shape (n_labels,), "tuned" or "auto", default="auto"
        A label is predicted where its probability is above the threshold. "auto" is half of the micro-F1 that the start of
        the last layer reaches on held-out texts, which is where predictions of calibrated probabilities have the highest
        F1 [2]_; no text is lost for training. With few positive entries among these texts it stays nearer to 0.5, which it
        is with ``head_init="random"``. "tuned" learns one per label on texts that are set aside; with few examples it
        stays near that of all labels, and with few in all near 0.5. Numbers can be set after fit.
    warm_start : bool, default=False
        Whether fit goes on from the last fit's weights, with the same labels. What made the network and reads the texts
        stays as it was: encoder, attention and its scale, dropout, label names, ``word_share``, ``fit_cardinality``,
        ``max_length``, ``long_text`` and ``stride``.
    checkpoint_dir : str, path-like or None, default=None
        A folder to which fit saves its state after every epoch and every ten minutes: one folder for one training, so not
        for cross-validation. If fit is killed, the same call with the same data goes on from there (on a CPU to the same
        model, to the bit; callbacks start anew), on a device of the same kind in the precision in which it began. What comes
        before the first update is not saved. Once it has ended, the same call gives the same model at once: delete the
        folder to train anew. Not with several processes, nor where ``warm_start`` goes on.
    callbacks : list of skorch callbacks or None, default=None
        Passed to the training loop. While it runs, the network's embedding table and token ids are those of the word-pieces
        that occur.
    device : str, default="auto"
        "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The type to compute in; weights stay in float32. "auto" is bfloat16 where CUDA has it, and on a CPU
        where products in it are clearly faster, which a stopwatch decides once per process; where a classifier is
        unpickled, anew. A CPU without bfloat16 uses float32 for it.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, dropout and the order of texts. An int gives the same model again on the same machine with
        the same number of threads, precision and versions; on CUDA only up to rounding.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels: column names of y, ``label_names``, or 0 to n_labels - 1. (scikit-learn's scorers take exactly two
        names, or a single one, for the classes of one binary problem; with two labels or one, score without names.)
    n_labels_ : int
        Number of labels.
    n_samples_seen_ : int
        Number of texts that the estimator was fitted to, those of all parts where it was fitted in parts.
    class_count_ : ndarray of shape (n_labels,)
        How many of these texts have each label.
    module_ : torch.nn.Module
        The trained network.
    tokenizer_ : transformers.PreTrainedTokenizerFast
        The encoder's tokenizer.
    n_iter_ : int
        Number of epochs trained.
    history_ : list of dict
        Per epoch: "epoch", "loss", "seconds" and "documents_per_second"; with early stopping also "valid_loss",
        "valid_f1_micro" and "valid_average_precision" (micro; NaN where no text that was set aside has a label), which are
        of the network alone, without ``word_share`` and ``fit_cardinality``.
    best_epoch_ : int
        The epoch whose weights were kept: the last one, or with early stopping the best; 0 stands for before the first.
    threshold_ : float or ndarray of shape (n_labels,)
        The threshold that predict uses.
    device_ : str
        The device that the network is on.
    sparse_output_ : bool
        Whether predict returns a sparse array, as y was one.
    inference_ : dict
        What ``optimize_for_inference`` measured; see there.

    See Also
    --------
    sklearn_bertlam.baselines.BinaryRelevanceClassifier : TF-IDF and one linear classifier per label.

    References
    ----------
    .. [1] "Multi-label Text Classification Based on BERT and Label Attention Mechanism".
    .. [2] Z. C. Lipton, C. Elkan, B. Naryanaswamy, "Optimal Thresholding of Classifiers to Maximize F1 Measure",
       ECML PKDD 2014.

    Examples
    --------
    >>> from sklearn_bertlam import BertLamClassifier
    >>> from sklearn_bertlam.datasets import load_support_requests
    >>> X, Y = load_support_requests(subset="train", return_X_y=True, as_frame=True)
    >>> clf = BertLamClassifier(max_epochs=1, random_state=0).fit(X[:96], Y[:96])
    >>> clf.predict_proba(["I was charged twice this month."]).shape
    (1, 12)
    """

    _most_documents_for_start = 20_000
    _is_trained = True
    _parameter_constraints: dict = {
        **NeuralTextClassifier._parameter_constraints,
        "encoder": [str, os.PathLike],
        "attention": [StrOptions({"document", "label-wise", "mean", "cls"})],
        "learning_rate": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "checkpoint_dir": [str, os.PathLike, None],
        "long_text": [StrOptions({"truncate", "head-tail", "windows"})],
        "stride": [Interval(Integral, 0, None, closed="left")],
        "attention_scale": [Interval(Real, 0, None, closed="left"), StrOptions({"learned"})],
        "labels_per_update": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "head_init": [StrOptions({"logistic", "random"})],
        "word_share": [Interval(Real, 0, 1, closed="left")],
        "fit_cardinality": ["boolean"],
        "threshold": [*NeuralTextClassifier._parameter_constraints["threshold"], StrOptions({"auto"})],
    }

    def __init__(
        self,
        encoder="sentence-transformers/all-MiniLM-L6-v2",
        *,
        attention="label-wise",
        attention_scale="learned",
        label_names=None,
        labels_per_update="auto",
        head_init="logistic",
        word_share=0.45,
        fit_cardinality=True,
        max_length=256,
        long_text="truncate",
        stride=32,
        dropout=0.1,
        learning_rate="auto",
        head_learning_rate=1e-3,
        weight_decay=0.01,
        warmup_fraction=0.1,
        batch_size=32,
        max_epochs="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=2,
        pos_weight=None,
        threshold="auto",
        warm_start=False,
        checkpoint_dir=None,
        callbacks=None,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.attention = attention
        self.attention_scale = attention_scale
        self.label_names = label_names
        self.labels_per_update = labels_per_update
        self.head_init = head_init
        self.word_share = word_share
        self.fit_cardinality = fit_cardinality
        self.max_length = max_length
        self.long_text = long_text
        self.stride = stride
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.weight_decay = weight_decay
        self.warmup_fraction = warmup_fraction
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.pos_weight = pos_weight
        self.threshold = threshold
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_paper(cls, dataset, **overrides):
        """Make an estimator with the paper's own settings.

        bert-base-uncased, one attention per document without a scale, Adam with learning rate 5e-5 and warm-up, dropout
        0.1, threshold 0.5. The paper does not give the number of epochs, the batch size or the text of the labels.

        Parameters
        ----------
        dataset : {"aapd", "rcv1-v2"}
            The data set decides on the length: 128 or 126 tokens.
        **overrides : dict
            Parameters to set otherwise, for instance another encoder.

        Returns
        -------
        estimator : BertLamClassifier
            An unfitted estimator.
        """
        if dataset not in _PAPER_MAX_LENGTH:
            raise ValueError(f"dataset should be one of {sorted(_PAPER_MAX_LENGTH)}, got {dataset!r}.")
        settings = {
            "encoder": "bert-base-uncased",
            "attention": "document",
            "attention_scale": 1.0,
            "labels_per_update": None,
            "head_init": "random",
            "word_share": 0.0,
            "fit_cardinality": False,
            "max_length": _PAPER_MAX_LENGTH[dataset],
            "dropout": 0.1,
            "learning_rate": 5e-5,
            "head_learning_rate": 5e-5,
            "weight_decay": 0.0,
            "threshold": 0.5,
        }
        known = cls._get_param_names()
        return cls(**({name: value for name, value in settings.items() if name in known} | overrides))

    def _make_tokenizer(self, texts):
        from ._encoders import load_tokenizer

        return load_tokenizer(self.encoder)

    def _make_module(
        self, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype
    ) -> LabelAttentionNetwork:
        import torch

        from ._encoders import check_max_length, load_model
        from ._initialisation import log_odds

        encoder: Any = load_model(self.encoder, float(self.dropout))
        check_max_length(self.max_length, encoder, self.encoder)
        self._n_word_pieces = encoder.get_input_embeddings().num_embeddings if self._counts_words() else 0
        module = self._network(encoder).to(self.device_)
        module.labels_per_update = self._n_labels_per_update(module.label_tokens, data)
        if self.head_init == "random":
            bias = log_odds(data.known_targets, data.sample_weight[data.rows])
            module.classifier.bias.data.copy_(torch.from_numpy(bias))
        if self.head_init == "logistic" or module.label_table is not None:
            self._start_from_frozen_encoder(module, data, random_state, precision)
        if module.words is not None:
            too_many = len(data) > _MOST_DOCUMENTS_FOR_WORDS
            some = data.part(random_state.permutation(len(data))[:_MOST_DOCUMENTS_FOR_WORDS]) if too_many else data
            module.words.fit(some, self.word_share, random_state)
        self._count_labels(module, data)
        return module

    def _counts_words(self):
        return self.word_share > 0 and self.n_labels_ <= _MOST_LABELS_FOR_WORDS

    def _prepare_to_go_on(self, data, is_part):
        module, is_weighted = self.module_, self.pos_weight is not None
        if is_weighted:
            self._expected_threshold = EVEN
        if module.cardinality is not None and (is_weighted or not is_part):
            module.cardinality.forget()
        n_labels = self._n_labels_per_update(module.label_tokens, data)
        first = self.n_samples_seen_ // self.batch_size * n_labels % self.n_labels_  # known of a loaded classifier, too
        module.restore_progress({"labels_per_update": n_labels, "first_label": first, "label_vectors": None})
        self._count_labels(module, data)

    def _count_labels(self, module: LabelAttentionNetwork, data: TextDataset) -> None:
        if module.cardinality is not None and self.pos_weight is None:
            module.cardinality.count(data.known_targets, data.sample_weight[data.rows])

    def _blank_module(self, encoder_config):
        from ._encoders import make_model

        return self._network(make_model(encoder_config))

    def _network(self, encoder: torch.nn.Module) -> LabelAttentionNetwork:
        from ._module import LabelAttentionNetwork

        return LabelAttentionNetwork(
            encoder,
            self.n_labels_,
            attention=self.attention,
            attention_scale=self.attention_scale,
            dropout=self.dropout,
            label_tokens=self._tokenize_labels(),
            n_word_pieces=self._n_word_pieces,
            fit_cardinality=self.fit_cardinality and self.pos_weight is None,
        )

    def _tokenize_labels(self) -> RaggedTokens | None:
        from ._tokens import tokenize

        return (
            None if self._label_texts is None else tokenize(self.tokenizer_, self._label_texts, self._reading["max_length"])
        )

    def _n_labels_per_update(self, label_tokens: RaggedTokens | None, data: TextDataset) -> int:
        if label_tokens is None or self.labels_per_update is None:
            return self.n_labels_
        if self.labels_per_update != "auto":
            return min(int(self.labels_per_update), self.n_labels_)
        tokens_per_update = min(self.batch_size, len(data)) * data.lengths.mean()
        n_labels = int(max(_LABEL_TOKENS, _LABEL_SHARE * tokens_per_update) / label_tokens.lengths.mean())
        return min(max(1, n_labels), self.n_labels_)

    def _start_from_frozen_encoder(
        self, module: LabelAttentionNetwork, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype
    ) -> None:
        """Set label table and last layer from what the encoder, not yet trained, makes of the documents."""
        import torch

        from ._initialisation import logistic_head, mean_vector_per_label
        from ._prediction import frozen_outputs, prepared

        device = torch.device(self.device_)
        module.eval()
        most = min(self._most_documents_for_start, max(1, _MOST_VALUES_FOR_START // module.values_per_text))
        data = data.part(random_state.permutation(len(data))[:most])
        targets, weights = data.known_targets, data.sample_weight[data.rows]
        with torch.no_grad():
            shared = prepared(module, device, precision)
            if module.label_table is not None:
                mean_vectors = partial(module.mean_vectors, **shared)
                means = frozen_outputs(mean_vectors, data, module, device, precision).astype(np.float32)
                module.label_table.copy_(torch.from_numpy(mean_vector_per_label(means, targets, weights)))
            if self.head_init == "logistic":
                features = frozen_outputs(partial(module.features, **shared), data, module, device, precision)
                head = logistic_head(features, targets, weights, random_state, module.label_texts_as_documents(**shared))
                module.classifier.weight.copy_(torch.from_numpy(head.weight))
                module.classifier.bias.copy_(torch.from_numpy(head.bias))
                self._expected_threshold = head.threshold if self.pos_weight is None else EVEN

    def _learning_rate(self) -> float:
        if self.learning_rate != "auto":
            return self.learning_rate
        width = max(_WIDTH, self.module_.classifier.in_features)
        return _LEARNING_RATE * (_WIDTH / width) ** 2

    # ----------------------------------------------------------------------------------------------- more texts and labels

    @available_if(lambda self: self._is_trained)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on learning from a part of a stream: one pass over it, in which the learning rates rise and fall.

        The first call starts as ``fit`` does. Give it the largest part, and every call some hundred texts: each update of
        weights reads ``batch_size`` of them. ``threshold="auto"`` stays what the first part has made it.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.
        y : {array-like, sparse matrix, DataFrame} of shape (n_texts, n_labels)
            Indicator of 0, 1 and NaN (unknown), with the same columns in all calls. A part need not have every label.
        classes : sequence of shape (n_labels,), optional
            The labels, one per column of y; columns of a DataFrame that have these names may be in another order, and a
            sequence ``label_names`` is in the order of ``classes``. By default the labels are those that ``fit`` would
            take, and after the first call those that the estimator has; :meth:`add_labels` adds some.
        sample_weight : array-like of shape (n_texts,), optional
            Non-negative weights of the texts in the loss.

        Returns
        -------
        self : object
            The same estimator.

        Raises
        ------
        InvalidTextError, InvalidTargetError, InvalidLabelNamesError
            If the input is not as described. All are ValueErrors.
        ValueError
            With ``early_stopping=True``, ``threshold="tuned"`` or a ``checkpoint_dir``, which need all texts at once.
        """
        fitting = Fitting(self, is_part=True)
        with fitting.undone_if_it_fails():
            fitting.run(X, y, sample_weight, classes)
        return self

    @available_if(_is_given_names)
    def add_labels(self, labels):
        """Predict more labels, which no document has had so far, by their texts.

        The encoder reads the new label's text as it has read the others', and the attention over a document needs no more.
        The attended vector is scored by its cosine with the label's, on a scale that the trained labels give. This ranks
        documents far better than chance does, but probabilities are not calibrated. With ``warm_start=True``, a ``fit`` on
        documents that have the new labels goes on from there.

        Parameters
        ----------
        labels : dict of label to str
            The new labels and their texts; names that say what the label is about, or descriptions.

        Returns
        -------
        self : object
            The same estimator; the new labels are the last ones of ``classes_``.

        Raises
        ------
        ValueError
            If the classifier does not read labels (it needs ``attention="label-wise"`` and names), if a label or its text
            is there already, or if ``threshold`` is an array that has no value for it.
        """
        import torch

        from ._initialisation import scorers_by_cosine
        from ._tokens import tokenize

        check_is_fitted(self)
        if self.module_.attention != "label-wise" or self._label_texts is None:
            raise ValueError(
                "Labels can be added where the classifier reads them: fit with attention='label-wise' and label_names, or "
                "with a DataFrame y whose columns are names."
            )
        classes, texts = check_new_labels(labels, self.classes_, self._label_texts)
        if np.ndim(self.threshold):
            check_threshold(self.threshold, [*self.classes_.tolist(), *classes])
        all_tokens, new_tokens = (
            tokenize(self.tokenizer_, part, self._reading["max_length"]) for part in ([*self._label_texts, *texts], texts)
        )
        with torch.inference_mode():
            cosines, logits = self.module_.own_cosines(self.module_.label_tokens)
            new = self.module_.text_vectors(new_tokens)
        scorers = scorers_by_cosine(*(part.cpu().numpy() for part in (new, cosines, logits)))
        self.module_.add_labels(all_tokens, torch.from_numpy(scorers))
        self._label_texts = [*self._label_texts, *texts]
        self.classes_ = object_array([*self.classes_.tolist(), *classes])
        self.n_labels_ = len(self.classes_)
        self.class_count_ = np.append(self.class_count_, [0] * len(classes))
        if hasattr(self, "_tuned_threshold"):
            self._tuned_threshold = np.append(self._tuned_threshold, [self._tuned_threshold.mean()] * len(classes))
        self._prepared = None
        return self

    # ---------------------------------------------------------------------------------------------------------- explaining

    def explain(self, texts, labels=None, *, influence=True):
        """Show which words a prediction looked at, and which ones it depends on.

        Attention shows where the network looked, and not what the answer depends on: a word can take much attention and
        change nothing, and the word-pieces that are counted beside the network take none. What the answer depends on is
        measured by ``influence``: how far a logit falls without the word.

        Parameters
        ----------
        texts : iterable of str, shape (n_texts,)
            The texts.
        labels : sequence of labels, or a single one, optional
            Labels out of ``classes_``; all by default.
        influence : bool, default=True
            Whether to measure how the logits change when a word is taken out, which takes one prediction per word. Without
            it, explanations come at the price of one prediction, and show attention alone.

        Returns
        -------
        explanations : list of Explanation
            One for each text: words, attention and influence. Each shows itself in a notebook, and has ``to_frame()`` and
            ``to_html(path)``.

        Raises
        ------
        ValueError
            If there is no such label.
        """
        from ._explanations import explain

        check_is_fitted(self)
        return explain(self, check_texts(texts), labels, influence)

    def _attention_of_tokens(self, texts: list[str]) -> list[np.ndarray]:
        """Return how much each token of each text weighs for each label, (n_tokens, n_labels) each."""
        return [part[0] for part in self._scores(([text] for text in texts), "attention_weights")]

    # ---------------------------------------------------------------------------------------------------------- predicting

    def _make_linear(self):
        from ._quantization import Int8Linears, has_int8

        return Int8Linears(self._input_ranges) if self._input_ranges is not None and has_int8() else None

    def optimize_for_inference(self, X, y=None):
        """Predict faster on a CPU from now on, with 8-bit integers or bfloat16 where that is faster on this processor.

        8-bit integers, and bfloat16 where ``precision="float32"`` was asked for and the processor gains from it, are timed
        on ``X`` beside the precision of training, and what was measured is printed. The estimator is used as before, and the
        choice is kept when it is pickled. ``fit`` takes it back.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            Some hundred typical texts, which need not have been in the training data. The ranges of the integers come from
            the first 256.
        y : {array-like, sparse matrix, DataFrame} of shape (n_texts, n_labels), optional
            The labels of these texts, to measure what the change costs in micro-F1; it is not made where that is more
            than 0.005. Without labels, the predictions from before take their place, and speed alone decides.

        Returns
        -------
        self : object
            The same estimator. Its ``inference_`` is a dict of "precision", "documents_per_second" and "f1_micro", the
            latter two with a value for each precision.

        Raises
        ------
        ValueError
            On a CUDA device, and for encoders that are not of the kind of BERT.

        References
        ----------
        .. [1] G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models",
           ICML 2023.
        """
        from ._optimization import compare_precisions

        check_is_fitted(self)
        texts = check_texts(X)
        targets = None if y is None else in_order_of(check_targets(y, len(texts)), self.classes_.tolist()).matrix
        if targets is not None and targets.shape[1] != self.n_labels_:
            raise InvalidTargetError(f"y has {targets.shape[1]} columns but the classifier knows {self.n_labels_} labels.")
        self._input_ranges, self.inference_ = compare_precisions(self, texts, targets)
        self._prepared = None
        self._inference_precision = "auto" if self.inference_["precision"] == "bfloat16" else None
        fastest, speed, f1 = (self.inference_[key] for key in ("precision", "documents_per_second", "f1_micro"))
        lines = [f"{name}: {speed[name]:.0f} documents/s, micro-F1 {f1[name]:.4f}" for name in speed]
        print(*lines, f"Predictions now use {fastest}.", sep="\n")  # noqa: T201
        return self

    def to_onnx(self, path):
        """Write the fitted classifier to an ONNX file, which predicts without torch.

        The file holds the network in float32 with the label vectors as constants, the tokenizer, the labels and the
        threshold. :class:`sklearn_bertlam.onnx.OnnxBertLamClassifier` reads it. What ``optimize_for_inference`` chose is
        not in it. Needs the extra ``onnx``.

        Inputs of the graph, for other programs: ``input_ids`` and ``attention_mask`` (n_texts, length) and, unless
        ``word_share`` is 0, ``piece_ids`` (n_texts, n_pieces), the different token ids of each whole text, also behind
        ``max_length``, and the numbers of its pairs of neighbours (their place in the metadata's ``pairs``, plus the size of
        the vocabulary), with ``piece_counts`` (n_texts, n_pieces), how often it has them, 0 for padding; all int64. The
        output is ``logits`` (n_texts, n_labels), each label by itself: how many labels texts have (``fit_cardinality``) is
        in the file's metadata, and followed by ``OnnxBertLamClassifier`` only.

        Parameters
        ----------
        path : str or path-like
            The file to write; it is there completely or not at all, and holds a checksum. Weights of more than 2 GB go to a
            second file beside it, whose name begins with that of the first and ends in ``.data``, with a warning.

        Raises
        ------
        ValueError
            If ``long_text`` is not "truncate", or a label is neither str nor int.
        """
        from ._onnx_export import export

        check_is_fitted(self)
        if self._reading["long_text"] != "truncate":
            raise ValueError(
                f"An ONNX file truncates long texts; this classifier has long_text={self._reading['long_text']!r}."
            )
        export(self, path)
