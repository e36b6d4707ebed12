"""Imports go one way only, and each library has one way in."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"exceptions", "_forking", "_files", "_parquet", "_cardinality", "_terms"},
    {"_attention", "_losses", "_runtime", "_distributed", "_dropout", "_self_attention"},
    {
        "_bert",
        "_encoders",
        "_tokens",
        "_batches",
        "_validation",
        "_initialisation",
        "_onnx_format",
        "_quantization",
        "_checkpoints",
        "_stratification",
        "_text_module",
        "_thresholds",
    },
    {"_text_encoder", "_embedding_rows", "_word_scores", "_prediction"},
    {"_module", "_multilabel"},
    {"_net", "onnx", "_onnx_export", "_persistence", "_explanation_page"},
    {"_explanations", "_fitting", "_model_card"},
    {"_hub"},
    {"_base", "_optimization"},
    {"_classifier"},
    {"distributed", "model_selection", "_report"},
    {"_displays"},
    {"inspection"},
    {"datasets", "baselines"},
    {"__init__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
FILES = sorted([*(ROOT / "sklearn_bertlam").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")])
ONLY_IMPORTER = {"skorch": "_net.py", "transformers": "_encoders.py", "huggingface_hub": "_hub.py"}


def house_name(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "baselines" else parts[1]


def imports(file):
    """Yield the absolute dotted names that a file imports, at the top or in functions."""
    package = ["sklearn_bertlam", *file.relative_to(ROOT).parent.parts[1:]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file):
    own = house_name(file)
    assert own in RANK, f"give {own} a place in LAYERS"
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "sklearn_bertlam" and len(parts) > 1 and parts[1] in RANK and parts[1] != own:
            assert RANK[parts[1]] < RANK[own] or RANK[parts[1]] == RANK[own] == 2, f"{own} imports {parts[1]}"
        if parts[0] in ONLY_IMPORTER:
            assert file.name == ONLY_IMPORTER[parts[0]], f"{own} imports {parts[0]}"
