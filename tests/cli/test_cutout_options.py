"""The flags of a cutout are the service's parameters, and arrive there."""

from pathlib import Path

from cli.cutout_options import OPTIONS
from operations.params import Params
from tests.cli.command_line import CommandLine
from tests.service import SAMPLES
from web.parameters import ATTACHMENTS


def test_every_parameter_has_a_flag() -> None:
    assert [*OPTIONS] == [name for name in Params.model_fields if name not in ("model", *ATTACHMENTS)]


def test_a_wrong_value_is_told_in_the_services_words(cli: CommandLine) -> None:
    done = cli("submit", SAMPLES[0], "--background-color", "whitish")
    assert done.returncode == 1
    assert "'whitish' is no colour" in done.stderr


def test_a_background_that_is_no_file_is_told(cli: CommandLine, tmp_path: Path) -> None:
    done = cli("submit", SAMPLES[0], "--background-image", tmp_path / "none.jpg")
    assert done.returncode == 1
    assert "none.jpg is no file" in done.stderr
