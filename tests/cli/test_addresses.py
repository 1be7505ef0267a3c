"""submit: pictures by address, beside files."""

from pathlib import Path

from tests.cli.command_line import CommandLine
from tests.service import SAMPLES, running
from tests.strangers import answers, stranger


def test_a_picture_by_address_comes_back_cut_out_beside_a_file(tmp_path: Path) -> None:
    astronaut, cat, *_ = SAMPLES
    with (
        stranger(answers(cat.read_bytes())) as server,
        running(tmp_path / "data", fetch_ports=f"{server.port}", fetch_allowed_hosts="127.0.0.1") as service,
    ):
        service.wait_until("/health")
        cli = CommandLine(service.url)
        address = f"http://127.0.0.1:{server.port}/photos/my%20cat.jpg?signature=1"
        document = cli.json("submit", astronaut, address, "--out", tmp_path / "out")
        assert [Path(path).name for path in document["saved"]] == [f"{astronaut.stem}.png", "my cat.png"]
        refused = cli("submit", "http://127.0.0.2/cat.jpg", "--json")
        assert refused.returncode == 1
        assert '"invalid_url"' in refused.stdout
    assert len(server.requests) == 1


def test_a_background_by_address_stands_behind(tmp_path: Path) -> None:
    astronaut, cat, *_ = SAMPLES
    with (
        stranger(answers(cat.read_bytes())) as server,
        running(tmp_path / "data", fetch_ports=f"{server.port}", fetch_allowed_hosts="127.0.0.1") as service,
    ):
        service.wait_until("/health")
        address = f"http://127.0.0.1:{server.port}/beach.jpg"
        submit = ("submit", astronaut, "--size", "preview", "--format", "png", "--out", tmp_path / "out")
        (by_address,) = CommandLine(service.url).json(*submit, "--background-image", address)["saved"]
        (by_file,) = CommandLine(service.url).json(*submit, "--background-image", cat)["saved"]
    assert Path(by_address).read_bytes() == Path(by_file).read_bytes()
    assert len(server.requests) == 1
