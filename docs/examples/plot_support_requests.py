"""
Labels on customer messages
===========================

Train a classifier on 360 messages to a shop's support, see where its threshold lies, and where it errs.
"""

# %%
# The messages, which language models wrote, and their twelve labels come with the package. The columns of ``Y`` name the
# labels, and the network reads these names.

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam.datasets import load_support_requests

X, Y = load_support_requests(subset="train", return_X_y=True, as_frame=True)
X_test, Y_test = load_support_requests(subset="test", return_X_y=True, as_frame=True)
clf = BertLamClassifier(random_state=0).fit(X, Y)

# %%
# How good it is on messages that it has not seen, with intervals:

from sklearn_bertlam.inspection import multilabel_report

probabilities = clf.predict_proba(X_test)
print(multilabel_report(Y_test, probabilities, threshold=clf.threshold_))

# %%
# Precision, recall and F1 against the threshold. The grey line marks the one in use.

from sklearn_bertlam.inspection import ThresholdDisplay

ThresholdDisplay.from_estimator(clf, X_test, Y_test)

# %%
# How good it is at each label, against the number of messages that it learned it from:

from sklearn_bertlam.inspection import LabelReportDisplay

display = LabelReportDisplay.from_estimator(clf, X_test, Y_test, train_counts=Y.sum(axis=0))
for missed, instead, count in display.worst_confusions(3):
    print(f"{count} times {missed!r} was missed while {instead!r} was wrongly predicted")

# %%
# The same as a picture:

display.plot_confusions()
