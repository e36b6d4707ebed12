"""What a pretrained encoder does without label attention: fine-tuned with its first token, or frozen."""

from __future__ import annotations

from typing import Any

from sklearn_bertlam import BertLamClassifier


class BERTClassifier(BertLamClassifier):
    """BERT fine-tuned with a linear layer on the vector of its first token: the paper's NoLAM.

    The same as :class:`sklearn_bertlam.BertLamClassifier` with ``attention="cls"``, which has no label texts, and
    ``word_share=0`` and ``fit_cardinality=False``.

    Parameters
    ----------
    encoder : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A BERT-like model: the path of a folder or a name on the Hugging Face hub.
    head_init : {"logistic", "random"}, default="logistic"
        Where the last layer starts: from a logistic regression per label on the vectors of the encoder while it is not yet
        trained, or from random weights and each label's log-odds.
    max_length : int, default=256
        Texts are cut to this number of tokens, the special ones included.
    dropout : float, default=0.1
        Dropout in the encoder and before the last layer.
    learning_rate : float or "auto", default="auto"
        Peak learning rate of the encoder. "auto" falls with the square of the encoder's width: 2e-4 for up to 384 units
        and 5e-5 for the 768 of a base-size BERT.
    head_learning_rate : float, default=1e-3
        Peak learning rate of the last layer.
    weight_decay : float, default=0.01
        Decoupled weight decay of matrices.
    warmup_fraction : float, default=0.1
        Part of the updates in which the learning rates rise; after it they fall linearly to 0.
    batch_size : int, default=32
        Texts per update.
    max_epochs : int or "auto", default="auto"
        Passes over the training texts. "auto" makes as many as give 60 updates, but at least 3 and at most 30.
    early_stopping : bool, default=False
        Hold out a part, stop when its average precision no longer rises, and keep the best weights.
    validation_fraction : float, default=0.1
        The part that is held out.
    n_iter_no_change : int, default=2
        Epochs without improvement after which training stops.
    pos_weight : float, array-like of shape (n_labels,) or None, default=None
        Factor on the loss of positive entries.
    threshold : float, array-like of shape (n_labels,), "tuned" or "auto", default="auto"
        Probability above which ``predict`` reports a label: "auto" is half of the micro-F1 that can be expected, "tuned"
        is learned on texts that are set aside; see :class:`sklearn_bertlam.BertLamClassifier`.
    warm_start : bool, default=False
        Whether fit goes on from the last fit's weights, with the same labels.
    callbacks : list of skorch callbacks or None, default=None
        Passed to the training loop.
    device : str, default="auto"
        "cpu", "cuda", ...; "auto" takes a GPU where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The type to compute in.
    random_state : int, RandomState instance or None, default=None
        Initial weights, dropout and order of the texts.
    verbose : int, default=0
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels: column names of y, or 0 to n_labels - 1.
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

    Examples
    --------
    >>> from sklearn_bertlam.baselines import BERTClassifier
    >>> clf = BERTClassifier(random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict(["red wine"])
    array([[1, 1]])
    """

    attention = "cls"
    attention_scale = 1.0
    label_names: Any = None
    labels_per_update = None
    word_share = 0.0
    fit_cardinality = False

    def __init__(
        self,
        encoder="sentence-transformers/all-MiniLM-L6-v2",
        *,
        head_init="logistic",
        max_length=256,
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
        callbacks=None,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.head_init = head_init
        self.max_length = max_length
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
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose


class FrozenEncoderClassifier(BertLamClassifier):
    """A logistic regression per label on the mean token vector of an encoder that is not trained.

    What sentence embeddings are mostly used for, and hard to beat on few documents. The strength of the regularisation is
    chosen on held-out documents, the same for all labels.

    Parameters
    ----------
    encoder : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A BERT-like model: the path of a folder or a name on the Hugging Face hub.
    max_length : int, default=256
        Texts are cut to this number of tokens, the special ones included.
    threshold : float, array-like of shape (n_labels,), "tuned" or "auto", default="auto"
        Probability above which ``predict`` reports a label: "auto" is half of the micro-F1 that can be expected, "tuned"
        is learned on texts that are set aside; see :class:`sklearn_bertlam.BertLamClassifier`.
    device : str, default="auto"
        "cpu", "cuda", ...; "auto" takes a GPU where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The type that the encoder computes in.
    random_state : int, RandomState instance or None, default=None
        Draws the held-out documents.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels: column names of y, or 0 to n_labels - 1.
    n_labels_ : int
        Number of labels.
    module_ : Module
        Encoder and last layer.
    tokenizer_ : PreTrainedTokenizerFast
        The encoder's tokenizer.

    Examples
    --------
    >>> from sklearn_bertlam.baselines import FrozenEncoderClassifier
    >>> clf = FrozenEncoderClassifier(random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict_proba(["red wine"]).shape
    (1, 2)
    """

    _most_documents_for_start = 10**9  # all, but for what memory holds
    _is_trained = False
    attention = "mean"
    attention_scale = 1.0
    label_names: Any = None
    labels_per_update = None
    word_share = 0.0
    fit_cardinality = False
    head_init = "logistic"
    dropout = 0.0
    learning_rate = 0.0
    head_learning_rate = 0.0
    weight_decay = 0.0
    warmup_fraction = 0.0
    batch_size = 32
    max_epochs = 0
    early_stopping = False
    validation_fraction = 0.1
    n_iter_no_change = 1
    pos_weight = None
    warm_start = False
    callbacks = None
    verbose = 0

    def __init__(
        self,
        encoder="sentence-transformers/all-MiniLM-L6-v2",
        *,
        max_length=256,
        threshold="auto",
        device="auto",
        precision="auto",
        random_state=None,
    ):
        self.encoder = encoder
        self.max_length = max_length
        self.threshold = threshold
        self.device = device
        self.precision = precision
        self.random_state = random_state
