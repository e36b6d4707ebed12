"""The README's code runs as printed, and so do the examples in docstrings."""

import doctest
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest
from conftest import needs_embedded_encoder

import sklearn_bertlam
from sklearn_bertlam import baselines

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
WITH_DOCTESTS = [
    module.name
    for package in (sklearn_bertlam, baselines)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if ">>> " in Path(importlib.util.find_spec(module.name).origin).read_text(encoding="utf-8")
]
NEEDS = {"_displays": ["matplotlib"], "distributed": ["dask.dataframe", "pyarrow"], "onnx": ["onnxscript", "onnxruntime"]}


@needs_embedded_encoder
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_readme_code_runs(number, capsys, no_network, quick_examples):
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
    house = module.split(".")[1]
    for needed in NEEDS.get(house, []):
        pytest.importorskip(needed)
    if house == "_displays":
        importlib.import_module("matplotlib").use("Agg")
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
