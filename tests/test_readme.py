"""The README's code runs as printed, and so do the examples in docstrings."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
from conftest import needs_embedded_encoder

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
WITH_DOCTESTS = [
    "sklearn_bertlam._classifier",
    "sklearn_bertlam.baselines._binary_relevance",
    "sklearn_bertlam.baselines._cnn_rnn",
    "sklearn_bertlam.baselines._encoder",
    "sklearn_bertlam.baselines._leam",
    "sklearn_bertlam.baselines._magnet",
    "sklearn_bertlam.baselines._sgm",
    "sklearn_bertlam.baselines._text_cnn",
    "sklearn_bertlam.datasets._support_requests",
    "sklearn_bertlam._report",
    "sklearn_bertlam.model_selection",
]


@needs_embedded_encoder
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_readme_code_runs(number, capsys, no_network):
    exec(compile(EXAMPLES[number], f"README example {number + 1}", "exec"), {})
    printed = capsys.readouterr().out
    if number == 0:
        assert printed.count("\n") >= 13
        assert "'delivery'" in printed.splitlines()[-1]
    else:
        bert_lam, binary_relevance = (float(score) for score in re.findall(r"0\.\d+", printed))
        assert bert_lam > binary_relevance


def test_readme_shows_the_two_commands_first():
    commands = re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)
    assert commands[:2] == ["make demo\n", "make test\n"]


@needs_embedded_encoder
@pytest.mark.parametrize("module", WITH_DOCTESTS)
def test_docstring_examples_run(module):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
