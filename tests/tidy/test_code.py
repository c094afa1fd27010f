"""How the code must look where no linter has the rule."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import PurePath

from config import errors
from tests.tidy.source import ROOT, python_files, text_files

LINES_MAX = 400
FORBIDDEN_NAMES = {
    stem + plural
    for stem in ("util", "helper", "manager", "service", "base", "common", "misc")
    for plural in ("", "s")
}
# In pieces, so that this file does not break its own rule.
FORBIDDEN_TEXTS = (
    r"pypi\." + r"org",
    r"python" + r"hosted\.",
    r"registry\.npm" + r"js",
    r"--(?:extra-)?index" + r"-url",
    r"proxy\.go" + r"lang\.",
    r"(?<![\w.}])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me|Us" + r"ers)/\w",
)


def test_a_package_says_what_it_is_in_one_line_and_nothing_else() -> None:
    packages = {name: tree for name, tree in python_files().items() if name.endswith("__init__.py")}
    wrong = [
        name
        for name, tree in packages.items()
        if len(tree.body) != 1 or "\n" in (ast.get_docstring(tree) or "\n")
    ]
    assert packages
    assert wrong == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {PurePath(name).parent for name in python_files()}
    assert [
        str(folder) for folder in folders if str(folder / "__init__.py") not in python_files()
    ] == []


def test_a_module_says_what_it_is_for_in_its_first_line() -> None:
    wrong = [name for name, tree in python_files().items() if not _begins_with_a_line(tree)]
    assert wrong == []


def _begins_with_a_line(tree: ast.Module) -> bool:
    first, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    return first.endswith((".", "?", "!", ":")) and (not rest or rest.startswith("\n"))


def test_there_is_no_type_checking_block() -> None:
    wrong = [
        name
        for name, tree in python_files().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "TYPE_CHECKING")
        or (isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING")
    ]
    assert wrong == []


def test_imports_stand_at_the_top() -> None:
    wrong = [f"{name}:{line}" for name, tree in python_files().items() for line in _hidden(tree)]
    assert wrong == []


def _hidden(tree: ast.Module) -> Iterator[int]:
    """Yield the lines of imports that are inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (
                inner.lineno
                for inner in ast.walk(node)
                if isinstance(inner, ast.Import | ast.ImportFrom)
            )


def test_no_file_is_too_long() -> None:
    lengths = {name: len((ROOT / name).read_bytes().splitlines()) for name in python_files()}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    paths = [PurePath(name) for name in python_files()]
    assert [str(p) for p in paths if FORBIDDEN_NAMES & {p.stem, *p.parent.parts}] == []


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    rules = [re.compile(text) for text in FORBIDDEN_TEXTS]
    wrong = [
        f"{name}: {found.group()}"
        for name, text in text_files()
        for rule in rules
        if (found := rule.search(text))
    ]
    assert wrong == []


def test_the_drawing_of_the_errors_is_the_tree_of_the_errors() -> None:
    classes = inspect.getmembers(errors, inspect.isclass)
    real = {
        name: kind.mro()[1].__name__
        for name, kind in classes
        if issubclass(kind, errors.ImvError) and kind is not errors.ImvError
    }
    assert dict(_drawn(errors.__doc__ or "")) == real


def _drawn(text: str) -> Iterator[tuple[str, str]]:
    """Yield each name of the drawing with the name above it."""
    above = ["ImvError"]
    for stem, name in re.findall(r"^([│ ]*)[├└]── (\w+)", text, re.MULTILINE):
        depth = len(stem) // 4 + 1
        yield name, above[depth - 1]
        above[depth:] = [name]


def test_every_error_tells_its_reader_what_to_do_and_has_a_slug_of_its_own() -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.ImvError)
    ]
    assert [kind for kind in kinds if ";" not in (kind.__doc__ or "") and kind.slug != "error"] == [
        errors.UnsupportedEncoding
    ]
    assert len({kind.slug for kind in kinds}) == len(kinds)
