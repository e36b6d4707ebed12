"""What all multi-label classifiers here share towards scikit-learn: tags, and a score that knows unknown entries."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin

from ._validation import check_sample_weight, check_targets, in_order_of


class MultilabelClassifierMixin(ClassifierMixin):
    """Mixin of classifiers of raw texts into any number of labels."""

    def score(self, X, y, sample_weight=None):
        """Compute the subset accuracy: the share of texts whose every known label is predicted right.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.
        y : {array-like, sparse matrix, DataFrame} of shape (n_texts, n_labels)
            Indicator of 0 and 1; NaN entries do not count. Columns named as ``classes_`` may be in any order.
        sample_weight : array-like of shape (n_texts,), optional
            Non-negative weights of the texts.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        predicted = sp.csr_array(self.predict(X))
        actual = in_order_of(check_targets(y, predicted.shape[0]), list(self.classes_)).matrix
        if actual.shape != predicted.shape:
            raise ValueError(f"y has {actual.shape[1]} columns but the classifier knows {predicted.shape[1]} labels.")
        unknown = sp.csr_array(actual != actual)  # NaN differs from itself
        wrong = (predicted != sp.csr_array(actual == 1)) > unknown
        right = wrong.sum(axis=1) == 0
        return float(np.average(right, weights=check_sample_weight(sample_weight, len(right))))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags
