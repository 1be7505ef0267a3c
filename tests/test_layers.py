"""The house rules: a file imports from its own room or from the rows below its own, and stays short.

Rows as in docs/architecture.md, 1 on top. Every import counts, those for type checking and inside functions too.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROWS = (
    ("app", "gunicorn.conf"),
    ("web",),
    ("job_worker",),
    ("outcomes", "direct_work", "warm_up"),
    ("operations", "queue_manager", "model_downloads"),
    ("acts",),
    ("submission", "retention", "idempotency", "reuse", "board"),
    (
        "models",
        "database",
        "storage",
        "fetching",
        "retry_policy",
        "worker_report",
        "log_setup",
        "process_life",
        "machine_lock",
    ),
    ("image_header", "fetch_target", "job", "settings", "listeners"),
    ("machine",),
    ("errors",),
)
ROW = {name: number for number, names in enumerate(ROWS, 1) for name in names}
# The command line: its entry, and the room that belongs to it alone.
CLIENT = ("queue_example", "cli")
OUTSIDE = {"bench", "tests", "docs", "test_queue", *CLIENT}
# Slow to import and large in memory: for child processes only.
HEAVY = {"rembg", "onnxruntime", "numba", "pymatting", "simplejpeg", "scipy", "skimage", "cv2", "PIL", "pillow_heif"}
MOST_LINES = 400


def source_files(*suffixes: str) -> list[Path]:
    """Paths relative to the project, without hidden folders and what the service and its tools leave behind."""
    found = []
    for folder, folders, names in os.walk(PROJECT):
        folders[:] = [name for name in folders if not name.startswith((".", "__")) and name not in ("data", "out")]
        found += [Path(folder, name).relative_to(PROJECT) for name in names if name.endswith(suffixes)]
    return sorted(found)


def module_name(path: Path) -> str:
    """models/__main__.py → models.__main__, models/__init__.py → models, gunicorn.conf.py → gunicorn.conf."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    return module if module in ROW else module.partition(".")[0]


SOURCES = {module_name(path): path for path in source_files(".py")}
SERVER = {name: path for name, path in SOURCES.items() if room(name) not in OUTSIDE}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node: ast.AST, *, on_import_only: bool) -> Iterator[ast.AST]:
    """All nodes below, or only those that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(child)
        if not (on_import_only and lazy):
            yield child
            yield from statements(child, on_import_only=on_import_only)


def imports(module: str, *, on_import_only: bool = False) -> set[str]:
    """Names of the modules that a module imports; `from room import file` is room.file where that is a module."""
    path = SOURCES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = set()
    for node in statements(ast.parse((PROJECT / path).read_text("utf-8")), on_import_only=on_import_only):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (origin, node.module) if part)
            submodules = {f"{source}.{alias.name}" for alias in node.names} & SOURCES.keys()
            names |= submodules or {source}
    return names


@pytest.mark.parametrize("module", SERVER)
def test_imports_go_down(module: str) -> None:
    mine = room(module)
    assert mine in ROW, f"{SOURCES[module]} has no row: give its room one here and in docs/architecture.md"
    theirs = {room(name) for name in imports(module)} & (ROW.keys() | OUTSIDE)
    wrong = {name for name in theirs if name != mine and ROW.get(name, 0) <= ROW[mine]}
    assert not wrong, f"{SOURCES[module]} (row {ROW[mine]}) must not import {sorted(wrong)}"


def test_every_row_is_lived_in() -> None:
    assert {room(module) for module in SERVER} == ROW.keys()


def test_no_room_shadows_the_standard_library() -> None:
    assert not {module.partition(".")[0] for module in SOURCES} & sys.stdlib_module_names


def test_no_import_cycle() -> None:
    graph = {module: imports(module) & SERVER.keys() - {module} for module in SERVER}
    assert list(TopologicalSorter(graph).static_order())


def test_the_command_line_stands_alone() -> None:
    for module in SOURCES:
        ours = {room(name) for name in imports(module)} & (ROW.keys() | OUTSIDE)
        if room(module) in CLIENT:
            assert ours <= {"cli"}, f"{SOURCES[module]} may import only cli/ of this project"
        elif room(module) != "tests":
            assert not ours & {*CLIENT}, f"{SOURCES[module]} must not import the command line"


@pytest.mark.parametrize("path", source_files(".py", ".js", ".css", ".html"), ids=str)
def test_files_are_short(path: Path) -> None:
    lines = (PROJECT / path).read_text("utf-8").count("\n")
    assert lines <= MOST_LINES


def test_the_api_process_writes_no_heavy_import() -> None:
    reached: set[str] = set()
    ahead = {"app"}
    while ahead:
        module = ahead.pop()
        reached.add(module)
        names = imports(module, on_import_only=True)
        heavy = {name.partition(".")[0] for name in names} & HEAVY
        assert not heavy, f"{SOURCES[module]} is imported by app.py, so it must import {sorted(heavy)} lazily"
        ahead |= (names | {name.partition(".")[0] for name in names}) & SERVER.keys() - reached


def test_the_api_process_loads_nothing_heavy(tmp_path: Path) -> None:
    listing = "import app, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "QUEUE_DATA_DIR": str(tmp_path)}
    loaded = subprocess.run(
        [sys.executable, "-c", listing], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert not set(loaded.stdout.split()) & HEAVY
