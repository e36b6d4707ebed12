"""Every public docstring is what numpydoc expects, down to each parameter."""

import importlib
import inspect

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
    "EX01": "methods are shown in the examples of their class",
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
    yields = "Yields\n" in found["docstring"]
    errors = [f"{code}: {text}" for code, text in found["errors"] if code not in EXCUSED and not (code == "RT01" and yields)]
    assert not errors
