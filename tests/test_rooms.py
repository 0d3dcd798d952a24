"""The rooms of the package: what each may import, and that imports run one way."""

import ast
import graphlib
from pathlib import Path

import pytest

import keras_wgd

pytestmark = pytest.mark.any_backend

PACKAGE = Path(keras_wgd.__file__).parent
# A room is a folder, or a module beside them: what each may import besides itself.
BASE = {"archive", "choices", "environment", "files", "metrics", "settings"}
LIBRARY = {"callbacks", "optimizers"}
PARTS = {"datasets", "models", "optimizers"}
ROOMS = {
    "choices": set(),
    "files": set(),
    "archive": {"files"},
    "settings": set(),
    "environment": {"settings"},
    "metrics": set(),
    "optimizers": {"choices", "files"},
    "callbacks": {"optimizers"},
    "__init__": LIBRARY,
    "models": {"choices"},
    "datasets": {"archive", "choices"},
    "study": BASE | PARTS,
    "bench": BASE | PARTS | {"callbacks", "study"},
    "cli": BASE | PARTS | {"__init__", "bench", "study"},
    "__main__": {"cli"},
}
# What is read from files, and what is made of that, needs no network and no Keras.
PLAIN = [
    "claim",
    "figures",
    "charts",
    "labels",
    "layout",
    "optimizers",
    "paper",
    "presets",
    "report",
    "results",
    "spec",
    "statistics",
    "tables",
    "verdict",
]


def imports_of(path):
    """The modules that a file names, deep in its functions, too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in MODULES else node.module


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = set(FILES)
IMPORTS = {name: set(imports_of(path)) for name, path in FILES.items()}


def room_of(module):
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("module", sorted(MODULES - {"keras_wgd"}))
def test_a_room_imports_those_below_it_alone(module):
    room = room_of(module)
    rooms = {room_of(name) for name in IMPORTS[module] & MODULES}
    assert rooms <= ROOMS[room] | {room}


def test_there_is_a_rule_for_each_room():
    assert {room_of(module) for module in MODULES} == set(ROOMS)


def test_no_module_imports_itself_in_the_end():
    ours = {name: imported & MODULES for name, imported in IMPORTS.items()}
    assert len(list(graphlib.TopologicalSorter(ours).static_order())) == len(MODULES)


@pytest.mark.parametrize("name", PLAIN)
def test_results_and_what_is_made_of_them_know_nothing_of_keras(name):
    seen, left = set(), [f"keras_wgd.study.{name}"]
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += IMPORTS.get(module, ())
    assert not {module.split(".")[0] for module in seen} & {"keras", "torch", "jax"}
    assert not {f"keras_wgd.study.{name}" for name in ("runner", "training")} & seen
