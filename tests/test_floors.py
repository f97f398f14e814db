"""Imports only go down: errors and config below, commands on top, and nothing sideways."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "longreach"
FLOORS = [
    {"errors", "config", "platform", "text"},
    {"ops"},
    {"layers", "cache"},
    {"models"},
    {"engine", "train", "documents"},
    {"serve", "evals", "agents", "export", "bench"},
    {"cli", "integrations"},
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# Floor 0 is four things: errors, then platform, then config, then text on top of them.
ORDER_ON_FLOOR_0 = ["errors", "platform", "config", "text"]
# Geometry, rotation and the shape of a pattern are what every op builds on; others are strangers.
OPS_FOR_ALL = {"rope", "dca", "pattern"}

FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def module_name(file: Path, package: Path = PACKAGE) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def nodes(tree: ast.AST, *, local: bool) -> Iterator[ast.AST]:
    """All nodes, or (local=False) those that importing the module runs."""
    for child in ast.iter_child_nodes(tree):
        if local or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from nodes(child, local=local)


def imports(source: str, module: str, *, is_package: bool, local: bool = True) -> Iterator[str]:
    """Every module named by an import in the file; local: inside functions too."""
    parent = module if is_package else module.rpartition(".")[0]
    for node in nodes(ast.parse(source), local=local):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = parent.split(".")[: len(parent.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            yield from names
            if not all(map(is_module, names)):
                yield base  # something that the package itself defines


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def edges(file: Path, *, local: bool = True) -> set[tuple[str, str]]:
    module = module_name(file)
    is_package = file.name == "__init__.py"
    found = imports(file.read_text(), module, is_package=is_package, local=local)
    return {(module, target) for target in found if target.split(".")[0] == "longreach"}


def complaint(source: str, target: str) -> str | None:
    """Why `source` may not import `target`, or None. Both are dotted module names."""
    a, b = source.split("."), target.split(".")
    if len(b) < 2 or b[1] not in FLOOR_OF:
        return None  # longreach itself: its lazy root names, which the next test forbids
    here, there = FLOOR_OF[a[1]], FLOOR_OF[b[1]]
    if there > here:
        return f"{source} (floor {here}) imports {target} (floor {there}): upward"
    if a[1] == b[1]:
        return strange_ops(a, b)
    if there < here:
        return None
    if here == 0 and ORDER_ON_FLOOR_0.index(b[1]) < ORDER_ON_FLOOR_0.index(a[1]):
        return None
    return f"{source} imports {target}: packages of one floor are strangers"


def strange_ops(a: list[str], b: list[str]) -> str | None:
    if a[1] != "ops" or len(a) < 3 or len(b) < 3 or a[2] == b[2] or b[2] in OPS_FOR_ALL:
        return None
    if not is_op(b[2]):
        return None
    return f"{'.'.join(a)} imports {'.'.join(b)}: ops are strangers but for rope, dca and pattern"


def is_op(name: str) -> bool:
    return (PACKAGE / "ops" / name).is_dir() or (PACKAGE / "ops" / f"{name}.py").is_file()


def test_every_package_has_a_floor():
    """A new top-level module is put on a floor on purpose."""
    names = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert names - {"__init__", "__main__"} <= FLOOR_OF.keys()


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_imports_go_down(file):
    """No module imports from above or from a stranger beside it, not even in a function."""
    found = [complaint(*edge) for edge in sorted(edges(file))]
    assert [text for text in found if text] == []


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_nobody_below_the_top_uses_the_lazy_root(file):
    """`from longreach import LLM` is for users: inside, a name is imported from where it is."""
    if module_name(file).split(".")[1] in {"cli", "__main__"}:
        return
    lazy = [b for _, b in edges(file) if b.count(".") == 1 and b.split(".")[1] not in FLOOR_OF]
    assert [name for name in lazy if name != "longreach.__version__"] == []


def test_modules_make_no_cycle():
    """Following the imports that importing a module runs never leads back to it."""
    modules = {module_name(f) for f in FILES}
    graph = {m: set() for m in modules}
    for file in FILES:
        for a, b in edges(file, local=False):
            graph[a] |= {b} & modules - {a}
    assert cycle(graph) is None


def cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """One cycle of the graph as a path, or None."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str] | None:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        for target in sorted(graph[node]):
            if found := visit(target, [*path, node]):
                return found
        done.add(node)
        return None

    for node in sorted(graph):
        if found := visit(node, []):
            return found
    return None


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("longreach.ops.attention.torch_cpu", "longreach.engine.engine"),
        ("longreach.layers.norm", "longreach.cache.pages"),
        ("longreach.evals.runner", "longreach.bench.run"),
        ("longreach.errors", "longreach.config"),
    ],
)
def test_the_rule_sees_a_broken_import(source, target):
    """An upward import and a sideways import are both named."""
    assert complaint(source, target)


def test_the_rule_sees_a_cycle():
    """Three modules that import each other in a ring are found."""
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


def test_relative_and_local_imports_count():
    """An import is seen however it is spelled and wherever it stands."""
    source = "def f():\n    from ..engine import llm\n    import longreach.cli.app\n"
    found = set(imports(source, "longreach.ops.dca", is_package=False))
    assert {"longreach.engine.llm", "longreach.cli.app"} <= found
