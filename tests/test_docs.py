"""The documents tell of everything there is, and lead nowhere that does not exist."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import errors
import queue_example
from app import app
from operations.params import Params
from settings import Settings
from tests.test_layers import CLIENT, PROJECT, ROWS, source_files
from web.problems import status_of

PAGES = [path for path in source_files(".md") if path.parts[0] not in ("tests", "bench")]
ENDPOINTS = [(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item]
COMMANDS = ("submit", "status", "monitor", "list", "stats", "cancel", "retry", "download", "models")


def page(name: str) -> str:
    return (PROJECT / name).read_text("utf-8")


def table_rows(name: str) -> list[list[str]]:
    """Cells of every table row of a page, without the backquotes around code."""
    rows = [line for line in page(name).splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def shown_default(name: str) -> str | None:
    """A setting's default as the table shows it; None where it depends on the machine."""
    field = Settings.model_fields[name]
    if field.default_factory is not None:
        return None
    default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str("" if default is None else default)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    variable = f"QUEUE_{name.upper()}"
    (row,) = (row for row in table_rows("docs/DEPLOYMENT_OPERATIONS.md") if row[0] == variable)
    assert row[1] == shown_default(name) or shown_default(name) is None
    assert all(row[2:])
    assert f"`{variable}`" in page("docs/QUEUE_QUICK_REF.md")


def test_no_setting_is_made_up() -> None:
    names = {f"QUEUE_{name.upper()}" for name in Settings.model_fields} | {"QUEUE_URL", "QUEUE_README", "QUEUE_INDEX"}
    names |= {"QUEUE_MANAGEMENT", "QUEUE_QUICK_REF"}
    for path in PAGES:
        assert set(re.findall(r"\bQUEUE_[A-Z_]+[A-Z]", page(str(path)))) <= names, path


@pytest.mark.parametrize("name", ["docs/QUEUE_MANAGEMENT.md", "docs/QUEUE_QUICK_REF.md"])
def test_every_request_is_documented(name: str) -> None:
    missing = [f"{method} {path}" for method, path in ENDPOINTS if f"`{method} {path}`" not in page(name)]
    assert not missing


def parameters() -> set[str]:
    items = [operation for item in app.openapi()["paths"].values() for operation in item.values()]
    return {parameter["name"] for operation in items for parameter in operation.get("parameters", ())}


@pytest.mark.parametrize("name", sorted(parameters()))
def test_every_parameter_is_documented(name: str) -> None:
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", page("docs/QUEUE_MANAGEMENT.md"))


def help_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    monkeypatch.setattr(sys, "argv", ["queue_example.py", *command, "--help"])
    with pytest.raises(SystemExit):
        queue_example.main()
    return capsys.readouterr().out


def test_every_command_is_documented(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^    ([a-z]+)\s", help_of(monkeypatch, capsys), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    for name in ("docs/QUEUE_MANAGEMENT.md", "docs/QUEUE_QUICK_REF.md"):
        documented = {row[0].partition(" ")[0] for row in table_rows(name)}
        assert set(listed) <= documented, name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", help_of(monkeypatch, capsys, command)))
    documented = page("docs/QUEUE_QUICK_REF.md")
    (row,) = (row for row in table_rows("docs/QUEUE_QUICK_REF.md") if row[0].partition(" ")[0] == command)
    general = set(re.findall(r"--[a-z]+", documented.partition("For every command:")[2].partition("|")[0]))
    # Each stands with its meaning in the table of parameters.
    of_the_cutout = {"--" + name.replace("_", "-") for name in Params.model_fields if name != "model"}
    assert of_the_cutout <= options or command != "submit"
    assert options - general - of_the_cutout == set(re.findall(r"--[a-z]+(?:-[a-z]+)*", row[1]))


def test_every_make_target_is_documented() -> None:
    (targets,) = re.findall(r"^\.PHONY: (.*)$", page("Makefile"), re.MULTILINE)
    missing = [target for target in targets.split() if f"`make {target}`" not in page("docs/QUEUE_QUICK_REF.md")]
    assert not missing


def every_error(base: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    yield base
    for error in base.__subclasses__():
        yield from every_error(error)


@pytest.mark.parametrize("error", [*every_error(errors.ServiceError)], ids=lambda error: error.__name__)
def test_every_error_is_documented(error: type[errors.ServiceError]) -> None:
    rows = [row for row in table_rows("docs/QUEUE_MANAGEMENT.md") if row[0] == error.code]
    assert rows
    status = status_of(error.__new__(error))
    documented = {int(row[1]) for row in rows if row[1].isdecimal()}
    # The others may never leave the service.
    assert documented == {status} or (status >= 500 and not documented)


def test_every_reason_to_refuse_a_file_is_documented() -> None:
    sources = [path for path in source_files(".py") if path.parts[0] not in ("tests", "bench", "cli")]
    raised = {
        code for path in sources for code in re.findall(r'(?:PictureError|FetchFailed)\(\s*"(\w+)"', page(str(path)))
    }
    assert len(raised) > 5
    assert raised <= {row[0] for row in table_rows("docs/QUEUE_MANAGEMENT.md")}


def test_the_rooms_are_drawn_as_they_are() -> None:
    rows = {row[0]: row[1] for row in table_rows("docs/architecture.md")}
    for number, rooms in enumerate(ROWS, 1):
        assert tuple(re.findall(r"[\w.]+", rows[str(number)])) == rooms
    assert tuple(re.findall(r"\w+", rows["–"])) == CLIENT


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page(str(path))):
        found = (PROJECT / path.parent / target) if target else PROJECT / path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


def test_every_page_is_listed() -> None:
    pages = {path for path in PAGES if path.parts[0] == "docs" and path != Path("docs/README.md")}
    listed = {Path("docs") / target for target in re.findall(r"\]\(([^)#]+)\)", page("docs/README.md"))}
    assert pages <= listed
