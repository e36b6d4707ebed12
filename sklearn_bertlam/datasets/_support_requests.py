"""Customer messages, written for this project."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from ._indicator import encode_labels

LABEL_DESCRIPTIONS = {
    "billing": "charges, invoices, payment cards and wrong amounts",
    "refund": "asking for money back or compensation",
    "delivery": "parcels that are late, lost or left in the wrong place, and questions about shipping",
    "faulty item": "goods that arrived broken, defective, incomplete or not as ordered",
    "order change": "changing or cancelling an order that was placed",
    "account access": "logging in, passwords, verification codes and locked accounts",
    "app problem": "crashes, errors and slowness of the app or the website",
    "subscription": "joining, pausing, renewing or ending the paid membership",
    "privacy": "personal data, unwanted marketing mail, suspicious activity and fraud",
    "discount": "voucher codes, gift cards, loyalty points, sale prices and price matching",
    "feature request": "ideas and wishes for something that is not offered yet",
    "praise": "thanks and compliments",
}

_DESCRIPTION = """Support requests

560 messages of 20 to 80 words to the support team of Fernway, a fictitious online shop with an app and a paid membership.
Each was written for this project as a message of its own, by large language models under a written brief, and carries one
to four of twelve labels. The split into 360 training and 200 test messages is random and fixed.
"""


@validate_params(
    {
        "subset": [StrOptions({"train", "test", "all"})],
        "return_X_y": ["boolean"],
        "as_frame": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_support_requests(*, subset="all", return_X_y=False, as_frame=False) -> Any:
    """Load the support requests, a small multi-label data set that comes with the package.

    560 English customer messages of 20 to 80 words to a fictitious online shop, with one to four of twelve labels each
    (2.3 on average). A message often raises several things in different sentences.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        The whole data set, or one part of its fixed split (360 and 200 messages).
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Return the texts as a Series and the target as a DataFrame whose columns are the labels; needs pandas.

    Returns
    -------
    data : Bunch
        With the fields

        data : list of str or Series, shape (n,)
            The messages.
        target : ndarray of int or DataFrame, shape (n, 12)
            1 where a label applies.
        target_names : ndarray of str, shape (12,)
            The labels.
        label_descriptions : dict of str to str
            A line on each label, usable as ``label_names``.
        frame : DataFrame of shape (n, 13)
            Text and labels; None without ``as_frame=True``.
        DESCR : str
            What the data set is.
    (data, target) : tuple
        If ``return_X_y`` is True.

    Examples
    --------
    >>> from sklearn_bertlam.datasets import load_support_requests
    >>> requests = load_support_requests(subset="train")
    >>> len(requests.data), requests.target.shape
    (360, (360, 12))
    """
    source = files(__package__) / "data" / "support_requests.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if subset in ("all", row["split"])]
    data: Any = [row["text"] for row in rows]
    target: Any = encode_labels([row["labels"] for row in rows], list(LABEL_DESCRIPTIONS)).toarray()
    names = np.array(list(LABEL_DESCRIPTIONS), dtype=object)
    frame = None
    if as_frame:
        import pandas as pd

        data, target = pd.Series(data, name="text"), pd.DataFrame(target, columns=names)
        frame = pd.concat([data, target], axis=1)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        target_names=names,
        label_descriptions=dict(LABEL_DESCRIPTIONS),
        DESCR=_DESCRIPTION,
    )
