"""A web page of one explanation: pick a label, and see its words light up. No network, no other file."""

from __future__ import annotations

import html
import json
from collections.abc import Hashable, Sequence

import numpy as np

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --page: #ffffff; --line: #c8c8c8;
  --for: 0, 114, 178; --against: 213, 94, 0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececec; --page: #181818; --line: #555555; --for: 86, 180, 233; --against: 230, 159, 0; }
}
body { font: 16px/1.7 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 1.5rem auto;
  max-width: 60rem; padding: 0 1rem; }
fieldset { border: 1px solid var(--line); border-radius: 6px; margin: 0 0 1rem; display: flex; flex-wrap: wrap;
  gap: .2rem 1rem; }
label { cursor: pointer; } label.predicted { font-weight: 600; }
.value { opacity: .7; font-variant-numeric: tabular-nums; }
#text { border-left: 3px solid var(--line); padding-left: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.word { border-radius: 3px; padding: .1em 0; border-bottom: 3px solid transparent; }
.word.for { background: rgba(var(--for), var(--weight)); border-bottom-color: rgba(var(--for), var(--line-weight)); }
.word.against { background: rgba(var(--against), var(--weight));
  border-bottom: 3px dashed rgba(var(--against), var(--line-weight)); }
input:focus-visible + span { outline: 2px solid currentColor; outline-offset: 2px; }
""".strip()

_SCRIPT = """
const data = JSON.parse(document.getElementById("weights").textContent);
const words = document.querySelectorAll(".word");
const note = document.getElementById("note");
function show() {
  const label = Number(document.querySelector("input[name=label]:checked").value);
  const kind = document.querySelector("input[name=kind]:checked").value;
  const weights = data[kind][label];
  const most = Math.max(1e-12, ...weights.map(Math.abs));
  words.forEach((word, i) => {
    const share = Math.abs(weights[i]) / most;
    word.classList.toggle("for", weights[i] > 0);
    word.classList.toggle("against", weights[i] < 0);
    word.style.setProperty("--weight", (0.55 * share).toFixed(3));
    word.style.setProperty("--line-weight", share > 0.25 ? 1 : 0);
    word.title = kind === "attention" ? (100 * weights[i]).toFixed(1) + " % of the attention" : weights[i].toFixed(2);
  });
  note.textContent = document.querySelector("input[name=kind]:checked").dataset.note;
}
document.querySelectorAll("input").forEach(input => input.addEventListener("change", show));
if (document.querySelector("input[name=label]")) show();
""".strip()

_NOTES = {
    "attention": "Where the network looked for this label. A word can take much attention without changing the answer.",
    "influence": "How much the label's logit falls when the word is taken out. Dashed: the word speaks against the label.",
}

_ATTENTION_ALONE = "<p>What the answer depends on is measured by explain(texts), unless influence=False.</p>"
_NO_WEIGHTS = "This classifier has no attention per label. Words light up with explain(texts), unless influence=False."


def page(
    text: str,
    spans: Sequence[tuple[int, int]],
    labels: Sequence[Hashable],
    probabilities: np.ndarray,
    predicted: np.ndarray,
    weights: dict[str, np.ndarray],
) -> str:
    """Return the page; ``weights`` has an array (k, W) for each kind of weight."""
    choices = "\n".join(
        _choice("label", number, label, f"{probability:.2f}", is_predicted, checked=number == 0)
        for number, (label, probability, is_predicted) in enumerate(zip(labels, probabilities, predicted, strict=True))
    )
    numbers = {kind: np.round(values.astype(float), 5).tolist() for kind, values in weights.items()}
    data = json.dumps(numbers).replace("<", chr(92) + "u003c")
    light = f'<script type="application/json" id="weights">{data}</script>\n<script>\n{_SCRIPT}\n</script>'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explanation</title>
<style>
{_STYLE}
</style>
</head>
<body>
<fieldset><legend>Label and probability (bold: predicted)</legend>
{choices}
</fieldset>
{_kinds(weights)}
<p id="text">{_marked(text, spans)}</p>
<p id="note" aria-live="polite">{"" if weights else _NO_WEIGHTS}</p>
{_ATTENTION_ALONE if list(weights) == ["attention"] else ""}
{light if weights else ""}
</body>
</html>
"""


def _kinds(weights: dict[str, np.ndarray]) -> str:
    if not weights:
        return ""
    choices = "\n".join(_choice("kind", kind, kind, "", False, checked=kind == next(iter(weights))) for kind in weights)
    return f"<fieldset><legend>Show</legend>\n{choices}\n</fieldset>"


def _choice(group: str, value: object, name: object, number: str, is_bold: bool, *, checked: bool) -> str:
    note = f' data-note="{html.escape(_NOTES.get(str(value), ""))}"' if group == "kind" else ""
    return (
        f'<label{" class=predicted" if is_bold else ""}><input type="radio" name="{group}" value="{value}"'
        f"{note}{' checked' if checked else ''}> <span>{html.escape(str(name))}</span> "
        f'<span class="value">{number}</span></label>'
    )


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    pieces, end = [], 0
    for start, stop in spans:
        start = max(start, end)
        pieces.append(html.escape(text[end:start]))
        pieces.append(f'<span class="word">{html.escape(text[start:stop])}</span>')
        end = max(stop, end)
    return "".join(pieces) + html.escape(text[end:])


def in_notebook(document: str) -> str:
    """Return HTML that shows a whole page inside another one, apart from its styles and scripts."""
    return (
        f'<iframe srcdoc="{html.escape(document)}" sandbox="allow-scripts" title="Explanation" '
        'style="width: 100%; height: 28rem; border: none"></iframe>'
    )
