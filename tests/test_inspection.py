"""Reports and explanations."""

import copy
import io
import json
import re
import shutil
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import LABELS, TEXTS, Y
from sklearn import metrics
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_bertlam.exceptions import InvalidTargetError
from sklearn_bertlam.inspection import (
    LabelAttentionDisplay,
    LabelReportDisplay,
    ThresholdDisplay,
    TrainingHistoryDisplay,
    multilabel_report,
)
from sklearn_bertlam.model_selection import MultilabelThresholdClassifierCV


@pytest.fixture(scope="module")
def scored():
    random = np.random.RandomState(0)
    y = (random.rand(300, 6) < 0.25).astype(int)
    return y, np.clip(0.4 * y + 0.6 * random.rand(300, 6), 0, 1)


# --------------------------------------------------------------------------------------------------------------- report


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_the_report_agrees_with_scikit_learn(scored, name, average):
    y, scores = scored
    expected = getattr(metrics, f"{name}_score")(y, scores > 0.4, average=average, zero_division=0)
    assert multilabel_report(y, scores, threshold=0.4, n_bootstraps=0).metrics[f"{name}_{average}"] == pytest.approx(
        expected
    )


def test_ranking_and_other_metrics_agree_with_scikit_learn(scored):
    y, scores = scored
    found = multilabel_report(y, scores, n_bootstraps=0).metrics
    some = y.any(axis=1)
    assert found["lrap"] == pytest.approx(metrics.label_ranking_average_precision_score(y[some], scores[some]))
    assert found["ndcg@3"] == pytest.approx(metrics.ndcg_score(y[some], scores[some], k=3))
    assert found["precision@1"] == pytest.approx(y[np.arange(300), scores.argmax(axis=1)].mean())
    assert found["hamming_loss"] == pytest.approx(metrics.hamming_loss(y, scores > 0.5))
    assert found["subset_accuracy"] == pytest.approx(metrics.accuracy_score(y, scores > 0.5))


def test_calibration_error_of_known_probabilities():
    random = np.random.RandomState(0)
    p = random.rand(20_000, 3)
    calibrated = multilabel_report((random.rand(*p.shape) < p).astype(int), p, n_bootstraps=0)
    assert calibrated.metrics["calibration_error"] < 0.01
    too_sure = multilabel_report((random.rand(*p.shape) < 0.5).astype(int), np.full(p.shape, 0.9), n_bootstraps=0)
    assert too_sure.metrics["calibration_error"] == pytest.approx(0.4, abs=0.01)


def test_intervals_hold_what_they_say():
    random = np.random.RandomState(0)
    inside = 0
    for seed in range(200):  # the true micro-recall is 0.7
        y = (random.rand(150, 4) < 0.4).astype(int)
        scores = np.where(random.rand(150, 4) < 0.7, y, 0).astype(float)
        low, high = multilabel_report(y, scores, n_bootstraps=300, confidence=0.9, random_state=seed).intervals[
            "recall_micro"
        ]
        inside += low <= 0.7 <= high
    assert 165 <= inside <= 192


def test_rare_labels_do_not_move_intervals_away_from_their_metric():
    random = np.random.RandomState(0)
    for _ in range(10):
        y = (random.rand(100, 30) < 0.4 / np.arange(1, 31)).astype(int)
        scores = np.clip(np.where(y, 0.9, 0.05) + random.normal(0, 0.2, y.shape), 0, 1)
        report = multilabel_report(y, scores, n_bootstraps=100)
        for average in ("precision_macro", "recall_macro", "f1_macro"):
            low, high = report.intervals[average]
            assert low <= report.metrics[average] <= high
    perfect = multilabel_report(y[:, y.any(axis=0)], y[:, y.any(axis=0)], n_bootstraps=100)
    assert perfect.intervals["f1_macro"] == (1.0, 1.0)
    assert "calibration_error" not in perfect.intervals  # resampling makes it larger
    assert np.isnan(perfect.to_frame().loc["calibration_error", "low"])


def test_the_report_comes_in_many_forms(scored):
    y, scores = scored
    names = [f"label {number}" for number in range(6)]
    report = multilabel_report(pd.DataFrame(y, columns=names), scores, n_bootstraps=50)
    assert "f1_micro" in str(report)
    assert "label 3" in repr(report)
    frame = report.to_frame()
    frame = frame.dropna()
    assert ((frame["low"] <= frame["value"]) & (frame["value"] <= frame["high"])).mean() > 0.9
    assert report.to_frame(per_label=True).loc["label 2", "support"] == y[:, 2].sum()
    assert json.loads(json.dumps(report.to_dict()))["n_documents"] == 300
    sparse = multilabel_report(sp.csr_array(y), scores, names, n_bootstraps=50)
    assert sparse.to_dict() == report.to_dict()
    assert "Intervals" in str(report)
    assert "Intervals" not in str(multilabel_report(y, scores, n_bootstraps=0))


@pytest.mark.parametrize(
    ("y", "scores", "options", "message"),
    [
        ([[1, 0]], [[0.5, 1.5]], {}, "between 0 and 1"),
        ([[1, 0]], [0.5], {}, "should have shape"),
        ([[1, 0]], [[0.5, 0.1, 0.2]], {}, "y_true has shape"),
        ([[1, np.nan]], [[0.5, 0.1]], {}, "NaN"),
        ([[1, 0]], [[0.5, 0.1]], {"label_names": ["a"]}, "1 names"),
        ([[1, 0]], [[0.5, 0.1]], {"n_bootstraps": -1}, "n_bootstraps"),
        ([[1, 0]], [[0.5, 0.1]], {"threshold": [0.5]}, r"shape \(2,\)"),
        ([[1, 0]], [[0.5, 0.1]], {"threshold": np.nan}, "without NaN"),
        (
            pd.DataFrame([[1, 0]], columns=["a", "b"]),
            [[0.5, 0.1]],
            {"threshold": pd.Series({"b": 0.1, "a": 0.2})},
            "threshold is a Series.*another order",
        ),
        (np.empty((0, 2)), np.empty((0, 2)), {}, "0|no row"),
    ],
)
def test_reports_refuse_what_does_not_fit(y, scores, options, message):
    with pytest.raises((ValueError, InvalidTargetError), match=message):
        multilabel_report(y, scores, **options)


def test_equal_scores_share_their_ranks(scored):
    y, scores = scored
    y, scores = y[y.any(axis=1)], np.round(scores[y.any(axis=1)], 1)
    forwards = multilabel_report(y, scores, n_bootstraps=0).metrics
    assert forwards["ndcg@3"] == pytest.approx(metrics.ndcg_score(y, scores, k=3))
    backwards = multilabel_report(y[:, ::-1], scores[:, ::-1], n_bootstraps=0).metrics
    assert backwards["precision@1"] == pytest.approx(forwards["precision@1"])
    constant = multilabel_report(y, np.full(y.shape, 0.5), n_bootstraps=0).metrics
    assert constant["precision@1"] == pytest.approx(y.mean())


def test_reports_take_scores_by_name_and_tuned_thresholds_of_any_size(scored):
    y, scores = scored
    names = list("abcdef")
    expected = multilabel_report(pd.DataFrame(y, columns=names), scores, n_bootstraps=0)
    by_name = pd.DataFrame(scores, columns=names)[names[::-1]]
    assert multilabel_report(pd.DataFrame(y, columns=names), by_name, n_bootstraps=0).to_dict() == expected.to_dict()
    assert multilabel_report(y, scores, threshold=-1e-300, n_bootstraps=0).metrics["recall_micro"] == 1
    assert multilabel_report(y, scores, threshold=np.full(6, np.inf), n_bootstraps=0).metrics["recall_micro"] == 0


# --------------------------------------------------------------------------------------------------------- explanations


@pytest.fixture(scope="module")
def explained(tiny_encoder):
    from sklearn_bertlam import BertLamClassifier

    parameters = {"max_length": 32, "batch_size": 4, "max_epochs": 25, "learning_rate": 1e-3, "precision": "float32"}
    return BertLamClassifier(tiny_encoder, label_names=LABELS, random_state=0, **parameters).fit(TEXTS, Y)


def test_explanations_name_words_labels_and_probabilities(explained):
    text = "Thank you, the PRINTER is on fire!"
    (found,) = explained.explain([text])
    assert found.words == ["Thank", "you", ",", "the", "PRINTER", "is", "on", "fire", "!"]
    assert sorted(found.labels) == sorted(LABELS)
    assert (np.diff(found.probabilities) <= 0).all()
    columns = [LABELS.index(label) for label in found.labels]
    np.testing.assert_allclose(found.probabilities, explained.predict_proba([text])[0, columns], rtol=1e-5)
    np.testing.assert_array_equal(found.predicted, explained.predict([text])[0, columns] == 1)
    np.testing.assert_allclose(found.attention.sum(axis=1), 1, rtol=1e-5)


def test_influence_is_the_change_without_the_word(explained):
    text = "the printer is on fire"
    (found,) = explained.explain([text], labels=["printer"])
    expected = explained.decision_function([text]) - explained.decision_function(["the  is on fire"])
    assert found.influence[0, 1] == pytest.approx(expected[0, 0], abs=1e-5)
    assert found.influence.argmax() == 1  # "printer" is what the label printer depends on


def test_explanations_are_frames(explained):
    pytest.importorskip("pandas")
    (found,) = explained.explain(["thank you"], labels="thank")
    frame = found.to_frame()
    assert frame.columns.tolist() == ["label", "probability", "word", "start", "stop", "attention", "influence"]
    assert frame["word"].tolist() == ["thank", "you"]
    assert [found.text[start:stop] for start, stop in zip(frame["start"], frame["stop"], strict=True)] == found.words


@pytest.mark.parametrize("text", ["", "   ", "\ud800", "ﷺ🔥 e\u0301", "a" * 500, "\u200b", "fire\x00fire"])
def test_any_text_can_be_explained(explained, text):
    (found,) = explained.explain([text])
    assert found.attention.shape == found.influence.shape == (3, len(found.words))
    if found.words:
        np.testing.assert_allclose(found.attention.sum(axis=1), 1, rtol=1e-4)
    assert "</html>" in found.to_html()


@pytest.mark.parametrize("long_text", ["truncate", "head-tail", "windows"])
def test_words_that_were_cut_off_have_no_attention(make_classifier, long_text):
    clf = make_classifier(long_text=long_text, stride=4).fit(TEXTS, Y)
    (found,) = clf.explain(["the printer is on fire and " * 10 + "thank you"])
    assert len(found.words) == 62
    read = found.attention[0] > 0
    assert read.sum() == {"truncate": 30, "head-tail": 30, "windows": 62}[long_text]
    assert read[:15].all()
    assert read[-15:].all() == (long_text != "truncate")
    np.testing.assert_allclose(found.attention.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("attention", ["document", "mean", "cls"])
def test_every_attention_can_be_explained(make_classifier, attention):
    (found,) = make_classifier(attention=attention).fit(TEXTS, Y).explain(["thank you for the fire"])
    if attention == "cls":
        assert found.attention is None
        assert "attention" not in found.to_frame()
    else:
        np.testing.assert_allclose(found.attention, np.broadcast_to(found.attention[0], (3, 5)))


def test_words_do_not_grow_together_where_one_is_taken_out(explained):
    text = "printer-fire"
    (found,) = explained.explain([text], labels=["printer"])
    without = ["-fire", "printer fire", "printer-"]
    expected = explained.decision_function([text]) - explained.decision_function(without)
    assert found.words == ["printer", "-", "fire"]
    np.testing.assert_allclose(found.influence[0], expected[:, 0], atol=1e-5)


def test_a_page_without_weights_says_so(make_classifier, tmp_path):
    (found,) = make_classifier(attention="cls").fit(TEXTS, Y).explain(["thank you"], influence=False)
    page = found.to_html()
    assert "no attention per label" in page
    assert "influence=False" not in make_classifier().fit(TEXTS, Y).explain(["thank you"])[0].to_html()
    assert "<script" not in page
    assert '<span class="word">thank</span>' in page


def test_unknown_labels_are_answered_with_near_ones(explained, make_classifier):
    assert explained.explain(["fire"], labels=[])[0].probabilities.shape == (0,)
    assert make_classifier().fit(TEXTS, Y).explain(["fire"], labels=1)[0].labels == [1]
    with pytest.raises(ValueError, match="There is no label 'printr'. Did you mean 'printer'"):
        explained.explain(["fire"], labels=["printr"])
    with pytest.raises(ValueError, match="There is no label 'PRINTER'. Did you mean 'printer'"):
        explained.explain(["fire"], labels="PRINTER")
    with pytest.raises(ValueError, match=r"There is no label \['printer'\]. Did you mean 'printer'"):
        explained.explain(["fire"], labels=[["printer"]])
    with pytest.raises(ValueError, match="not fitted"):
        make_classifier().explain(["fire"])
    numbered = make_classifier().fit(TEXTS, pd.DataFrame(Y, columns=[1.5, 2.5, 3.5]))
    assert numbered.explain(["fire"], labels=2.5)[0].labels == [2.5]
    with pytest.raises(ValueError, match=r"There is no label '1.5'. Did you mean 1\.5"):
        numbered.explain(["fire"], labels="1.5")


def test_pages_escape_what_they_show(make_classifier, tmp_path):
    evil = "<script>alert('&')</script>"
    clf = make_classifier(label_names=[evil, "b", "c"]).fit(TEXTS, Y)
    (found,) = clf.explain([evil + " fire"])
    page = found.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert "<script>alert" not in page
    assert page.count("<script") == 2
    assert "http" not in page
    assert "<iframe srcdoc" in found._repr_html_()
    assert "<script" not in found._repr_html_()


@pytest.fixture
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium here")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def lit_words(browser):
    return [word.text for word in browser.find_elements("css selector", ".word.for")]


def test_a_browser_lights_up_the_words_of_the_label(explained, tmp_path, browser):
    (found,) = explained.explain(["thank you for the printer"])
    found.to_html(tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    assert lit_words(browser) == found.words  # attention comes first, and every word has some
    browser.find_element("css selector", "input[name=kind][value=influence]").click()
    for number, label in enumerate(found.labels):
        browser.find_element("css selector", f"input[name=label][value='{number}']").click()
        words = browser.find_elements("css selector", ".word")
        shown = [float(word.get_attribute("title")) for word in words]
        np.testing.assert_allclose(shown, found.influence[number], atol=0.006)
        assert lit_words(browser) == [word for word, value in zip(found.words, shown, strict=True) if value > 0]
        assert words[int(np.argmax(shown))].text == label or label == "invoice"


def test_the_keyboard_alone_chooses(explained, tmp_path, browser):
    (found,) = explained.explain(["thank you for the printer"])
    found.to_html(tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    tab, down = "\ue004", "\ue015"
    browser.find_element("css selector", "body").send_keys(tab)
    for key in (down, down, tab, down):  # the third label, then the second kind
        browser.switch_to.active_element.send_keys(key)
    chosen = [one.get_attribute("value") for one in browser.find_elements("css selector", "input:checked")]
    assert chosen == ["2", "influence"]
    shown = [float(word.get_attribute("title")) for word in browser.find_elements("css selector", ".word")]
    np.testing.assert_allclose(shown, found.influence[2], atol=0.006)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_in_light_and_dark(explained, tmp_path, browser, scheme):
    (found,) = explained.explain(["thank you for the printer"])
    found.to_html(tmp_path / "page.html")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.get((tmp_path / "page.html").as_uri())
    script = "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
    ink, paper = (np.mean([int(part) for part in re.findall(r"\d+", colour)]) for colour in browser.execute_script(script))
    assert (ink < 60 and paper > 200) if scheme == "light" else (ink > 200 and paper < 60)
    screen = pixels(browser.get_screenshot_as_png())
    assert len(np.unique(screen.reshape(-1, screen.shape[-1]), axis=0)) > 10  # words in several shades


def pixels(png):
    return pytest.importorskip("matplotlib.image").imread(io.BytesIO(png))


def test_a_browser_runs_no_script_of_a_text_or_label(make_classifier, tmp_path, browser):
    evil = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    clf = make_classifier(label_names=[evil, "b", "c"]).fit(TEXTS, Y)
    clf.explain(["fire " + evil])[0].to_html(tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    assert browser.title == "Explanation"
    assert browser.find_element("id", "text").text == "fire " + evil
    assert "fire" in lit_words(browser)


# ------------------------------------------------------------------------------------------------------------- displays


@pytest.fixture
def draw():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


def test_thresholds_are_drawn(draw, scored, explained):
    y, scores = scored
    display = ThresholdDisplay.from_predictions(y, scores)
    best = max(metrics.f1_score(y, scores >= threshold, average="micro") for threshold in np.unique(scores)[::20])
    assert display.f1.max() >= best - 1e-9
    assert display.f1[np.searchsorted(display.thresholds, display.chosen)] == display.f1.max()
    assert metrics.f1_score(y, scores > display.chosen, average="micro") == pytest.approx(display.f1.max())
    assert len(display.ax_.lines) == 4
    one = ThresholdDisplay.from_estimator(explained, TEXTS, Y, label="invoice")
    assert one.chosen == 0.5
    assert one.ax_.get_title() == "invoice"
    with pytest.raises(ValueError, match="There is no label"):
        ThresholdDisplay.from_estimator(explained, TEXTS, Y, label="invoices")


def test_no_threshold_is_marked_where_every_label_has_its_own(draw, explained):
    clf = copy.copy(explained).set_params(threshold=[0.1, 0.2, 0.3])
    assert ThresholdDisplay.from_estimator(clf, TEXTS, Y).chosen is None
    assert ThresholdDisplay.from_estimator(clf, TEXTS, Y, label="invoice").chosen == 0.2


def test_the_classifier_in_a_search_or_pipeline_has_the_threshold(draw, make_classifier):
    pipeline = Pipeline([("clf", make_classifier(threshold=0.3))])
    search = GridSearchCV(pipeline, {"clf__max_epochs": [0]}, cv=2, scoring="f1_micro").fit(TEXTS, Y)
    for estimator in (search, search.best_estimator_):
        assert ThresholdDisplay.from_estimator(estimator, TEXTS, Y).chosen == 0.3


def test_scores_may_have_their_columns_in_any_order(draw, explained):
    y, scores = pd.DataFrame(Y, columns=LABELS), pd.DataFrame(explained.predict_proba(TEXTS), columns=LABELS)
    expected = ThresholdDisplay.from_predictions(y, scores)
    np.testing.assert_array_equal(ThresholdDisplay.from_predictions(y, scores[LABELS[::-1]]).f1, expected.f1)


def test_displays_take_columns_in_any_order(draw, explained):
    frame = pd.DataFrame(Y, columns=LABELS)
    for display in (ThresholdDisplay, LabelReportDisplay):
        as_is, swapped = (display.from_estimator(explained, TEXTS, y) for y in (frame, frame[LABELS[::-1]]))
        np.testing.assert_array_equal(as_is.f1, swapped.f1)


@pytest.mark.parametrize(
    "base", [RandomForestClassifier(n_estimators=5, random_state=0), MultiOutputClassifier(LogisticRegression())]
)
def test_displays_take_classifiers_that_have_a_list_of_scores(draw, base):
    X, y = make_multilabel_classification(80, n_classes=3, random_state=0)
    frame = pd.DataFrame(y, columns=[2, 0, 1])
    clf = base.fit(X, frame)
    assert ThresholdDisplay.from_estimator(clf, X, frame).f1.max() > 0.7
    assert ThresholdDisplay.from_estimator(clf, X, frame, label=1).f1.max() > 0.7
    assert LabelReportDisplay.from_estimator(clf, X, frame).label_names == [2, 0, 1]
    table = pytest.importorskip("pyarrow").Table.from_pandas(frame.add_prefix("label "))
    assert LabelReportDisplay.from_estimator(clf, X, table).label_names == ["label 2", "label 0", "label 1"]


@pytest.mark.parametrize(("y", "message"), [([[1, 0]], "y_true has shape"), ([[np.nan] * 3], "no known entry")])
def test_curves_of_nothing_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        ThresholdDisplay.from_predictions(y, [[0.5, 0.2, 0.1]])


def test_unknown_entries_are_not_drawn(draw, scored):
    y, scores = scored
    hidden = np.where(np.arange(6) < 3, y, np.nan)
    expected = ThresholdDisplay.from_predictions(y[:, :3], scores[:, :3]).f1
    np.testing.assert_array_equal(ThresholdDisplay.from_predictions(hidden, scores).f1, expected)


def test_histories_are_drawn(draw, make_classifier):
    clf = make_classifier(early_stopping=True, validation_fraction=0.3, max_epochs=3).fit(TEXTS, Y)
    epochs = [{"epoch": number, "train_loss": 1 / number, "valid_loss": 1.0} for number in (1, 2, 3)]
    assert TrainingHistoryDisplay(epochs, best_epoch=2).plot().ax_.lines[-1].get_xdata() == [2, 2]
    assert len(TrainingHistoryDisplay.from_estimator(clf).ax_.lines) in (4, 5)  # the fifth marks the best epoch
    assert len(TrainingHistoryDisplay.from_estimator(make_classifier().fit(TEXTS, Y)).ax_.lines) == 1


def test_attention_is_drawn(draw, explained, make_classifier):
    display = LabelAttentionDisplay.from_estimator(explained, "the printer costs $5 and the invoice $6$")
    assert display.explanation.labels[0] in LABELS
    assert [label.get_text() for label in display.ax_.get_xticklabels()][:2] == ["the", "printer"]
    display.figure_.savefig(io.BytesIO())
    cls = make_classifier(attention="cls").fit(TEXTS, Y)
    with pytest.raises(ValueError, match="attention='cls'"):
        LabelAttentionDisplay.from_estimator(cls, "fire")


def test_labels_are_drawn(draw, explained):
    from matplotlib import pyplot as plt

    axes = plt.subplots()[1]
    display = LabelReportDisplay.from_estimator(explained, TEXTS, Y, train_counts=[5, 50, 500], ax=axes)
    assert display.ax_ is axes
    assert axes.get_xscale() == "symlog"
    np.testing.assert_allclose(display.f1, metrics.f1_score(Y, explained.predict(TEXTS), average=None))
    wrong = np.roll(Y, 1, axis=1)
    confused = LabelReportDisplay.from_predictions(Y, wrong, label_names=LABELS)
    missed, instead, count = confused.worst_confusions(1)[0]
    row, column = LABELS.index(missed), LABELS.index(instead)
    assert count == ((Y[:, row] > wrong[:, row]) & (Y[:, column] < wrong[:, column])).sum() > 0
    assert LabelReportDisplay.from_predictions(Y, Y).worst_confusions() == []
    np.testing.assert_array_equal(LabelReportDisplay.from_estimator(explained, TEXTS[:4], Y[:4]).counts, Y.sum(axis=0))


def test_labels_are_drawn_over_what_the_classifier_learned_from(draw, make_classifier):
    clf = make_classifier(max_epochs=0, random_state=0)
    for wrapped in (
        make_pipeline(FunctionTransformer(), clf),
        GridSearchCV(clf, {"threshold": [0.5]}, cv=2, scoring="f1_micro"),
        MultilabelThresholdClassifierCV(make_pipeline(clf), cv=2),
    ):
        wrapped.fit(TEXTS, Y)
        np.testing.assert_array_equal(LabelReportDisplay.from_estimator(wrapped, TEXTS[:4], Y[:4]).counts, Y.sum(axis=0))


def test_confusions_are_drawn(draw):
    wrong = np.roll(Y, 1, axis=1)
    display = LabelReportDisplay.from_predictions(Y, wrong, label_names=LABELS).plot_confusions(n_labels=2)
    (image,) = display.ax_.images
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    rows = [LABELS.index(name) for name in names]
    np.testing.assert_array_equal(image.get_array(), display.confusions[np.ix_(rows, rows)])
    left_out = next(iter(set(LABELS) - set(names)))
    total = display.confusions.sum(axis=0) + display.confusions.sum(axis=1)
    assert total[LABELS.index(left_out)] == total.min()


def test_numbers_need_no_matplotlib_and_pictures_name_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    display = LabelReportDisplay(LABELS, np.ones(3), np.ones(3), np.eye(3, dtype=int))
    assert display.worst_confusions(1) == [(LABELS[0], LABELS[0], 1)]
    with pytest.raises(ImportError, match=r"LabelReportDisplay\.plot requires matplotlib"):
        display.plot()


def test_labels_are_told_by_name(draw):
    truth = pd.DataFrame(Y, columns=LABELS)
    predicted = truth[LABELS[::-1]]
    counts = pd.Series([3, 2, 1], index=LABELS[::-1])
    display = LabelReportDisplay.from_predictions(truth, predicted, train_counts=counts)
    np.testing.assert_array_equal(display.f1, 1)
    np.testing.assert_array_equal(display.counts, [1, 2, 3])
    titles = LabelReportDisplay.from_predictions(truth, predicted, label_names=["one", "two", "three"])
    np.testing.assert_array_equal(titles.f1, 1)
    by_position = LabelReportDisplay.from_predictions(predicted, Y, label_names=LABELS)
    assert by_position.worst_confusions() == []
    np.testing.assert_array_equal(by_position.counts, Y.sum(axis=0))
    with pytest.raises(ValueError, match="train_counts has no number for .thank"):
        LabelReportDisplay.from_predictions(truth, predicted, train_counts=counts.iloc[1:])


def test_reports_refuse_two_labels_of_one_name():
    with pytest.raises(ValueError, match="a name twice"):
        multilabel_report(Y, Y, ["a", "b", "a"])


def test_displays_take_odd_names_and_empty_histories(draw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TrainingHistoryDisplay([]).plot().ax_.get_legend() is None
    title = ThresholdDisplay.from_predictions(Y, Y, name="$x^$").ax_.title
    title.figure.canvas.draw()
    assert title.get_text() == "$x^$"
