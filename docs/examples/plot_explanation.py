"""
Which words decide
==================

Look at what a classifier looked at, and at what its answer depends on.
"""

# %%
from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.datasets import load_support_requests

requests = load_support_requests(subset="train")
clf = BertLamClassifier(label_names=requests.label_descriptions, max_epochs=2, random_state=0)
clf.fit(requests.data, requests.target)

# %%
# Attention is how much each word weighs in the vector that decides on a label.

from sklearn_bertlam.inspection import LabelAttentionDisplay

message = "You took the money twice, and the parcel is still not here."
LabelAttentionDisplay.from_estimator(clf, message, labels=["billing", "delivery", "refund"])

# %%
# Influence is how much a label's logit falls without the word. Pick a label and see its words light up:

clf.explain([message])[0]
