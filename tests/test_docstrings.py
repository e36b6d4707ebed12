"""Every public docstring is what numpydoc expects, down to each parameter."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

MODULES = [
    "sklearn_bertlam",
    "sklearn_bertlam.baselines",
    "sklearn_bertlam.datasets",
    "sklearn_bertlam.distributed",
    "sklearn_bertlam.exceptions",
    "sklearn_bertlam.inspection",
    "sklearn_bertlam.model_selection",
    "sklearn_bertlam.onnx",
]
EXCUSED = {
    "GL01": "summaries start on the line of the quotes",
    "GL02": "one-line docstrings end on their line",
    "ES01": "a summary may say it all",
    "SA01": "nothing else to see",
    "RT02": "returned values are named, as scikit-learn does",
}


def public_names():
    """Yield the dotted names of all public objects, and of the methods and properties that this package gives them."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing):
                continue
            yield f"{module_name}.{name}"
            if inspect.isclass(thing):
                own = {
                    member
                    for base in thing.__mro__
                    if base.__module__.startswith("sklearn_bertlam")
                    for member in vars(base)
                }
                yield from (f"{module_name}.{name}.{member}" for member in sorted(own) if is_documented(thing, member))


def is_documented(thing, member):
    static = inspect.getattr_static(thing, member)
    is_method = inspect.isroutine(static) or isinstance(static, (property, staticmethod, classmethod))
    return not member.startswith("_") and (is_method or hasattr(static, "check"))  # available_if


@pytest.mark.parametrize("name", sorted(public_names()))
def test_docstring(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    found = validate(name)
    excused = set(EXCUSED)
    if "Yields\n" in found["docstring"]:
        excused.add("RT01")
    module, _, _ = name.rpartition(".")
    if module not in MODULES or module == "sklearn_bertlam.exceptions":
        excused.add("EX01")  # methods are shown in the examples of their class, errors where they are raised
    assert not [f"{code}: {text}" for code, text in found["errors"] if code not in excused]


def test_the_reference_lists_everything_that_is_public():
    reference = (Path(__file__).parents[1] / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = set()
    for part in reference.split(".. currentmodule:: ")[1:]:
        module, *lines = part.splitlines()
        listed |= {f"{module}.{line.strip()}" for line in lines if re.fullmatch(r"   \w+", line)}
    public = {
        f"{module}.{name}"
        for module in MODULES
        for name in importlib.import_module(module).__all__
        if name != "__version__" and module != "sklearn_bertlam.exceptions"  # which comes as a whole
    }
    assert listed == public
    assert ".. automodule:: sklearn_bertlam.exceptions" in reference
