"""Settings: from the environment, checked, and with names that say what was wrong."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from machine import cores
from settings import Settings, unknown_variables
from tests.service import running


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("QUEUE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("data_dir", "/srv/pictures", Path("/srv/pictures")),
        ("database_url", "postgresql://db/queue", "postgresql://db/queue"),
        ("sqlite_synchronous", "NORMAL", "NORMAL"),
        ("default_model", "u2netp", "u2netp"),
        ("max_concurrent", "3", 3),
        ("max_files_per_job", "7", 7),
        ("max_upload_bytes", "1000", 1000),
        ("max_request_bytes", "2000", 2000),
        ("max_megapixels", "12.5", 12.5),
        ("file_timeout_seconds", "5", 5.0),
        ("model_load_timeout_seconds", "6", 6.0),
        ("max_wait_seconds", "2.5", 2.5),
        ("model_memory_bytes", "7", 7),
        ("child_max_files", "8", 8),
        ("max_attempts", "9", 9),
        ("lease_seconds", "30", 30.0),
        ("poll_seconds", "0.5", 0.5),
        ("drain_seconds", "0", 0.0),
        ("retention_days", "0.25", 0.25),
        ("sweep_seconds", "60", 60.0),
        ("cors_origins", "https://a.example", ("https://a.example",)),
        ("fetch_urls", "false", False),
        ("fetch_ports", " 80, 8443 ", (80, 8443)),
        ("fetch_allowed_hosts", "Images.internal, 10.0.0.0/8", ("images.internal", "10.0.0.0/8")),
        ("fetch_timeout_seconds", "5", 5.0),
        ("log_level", "DEBUG", "DEBUG"),
        ("log_format", "json", "json"),
    ],
)
def test_each_setting_is_read_from_the_environment_with_the_prefix(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object
) -> None:
    assert getattr(Settings(), name) != expected
    monkeypatch.setenv(name.upper(), value)
    assert getattr(Settings(), name) != expected
    monkeypatch.setenv(f"QUEUE_{name.upper()}", value)
    assert getattr(Settings(), name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_concurrent", "0"),
        ("max_concurrent", "257"),
        ("max_concurrent", "many"),
        ("max_concurrent", "1.5"),
        ("max_files_per_job", "0"),
        ("max_upload_bytes", "64MB"),
        ("max_megapixels", "0"),
        ("max_megapixels", "nan"),
        ("file_timeout_seconds", "-1"),
        ("file_timeout_seconds", "inf"),
        ("max_attempts", "0"),
        ("lease_seconds", "29"),
        ("poll_seconds", "0"),
        ("retention_days", "0"),
        ("retention_days", "999999"),
        ("sweep_seconds", "nan"),
        ("fetch_urls", "maybe"),
        ("fetch_ports", "80,http"),
        ("fetch_ports", "0"),
        ("fetch_allowed_hosts", "10.0.0.1/8"),
        ("fetch_allowed_hosts", "10.0.0.0/33"),
        ("fetch_timeout_seconds", "0"),
        ("sqlite_synchronous", "OFF"),
        ("log_level", "loud"),
        ("log_format", "xml"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"QUEUE_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    (error,) = caught.value.errors()
    assert error["loc"][0] == name
    assert name in str(caught.value)


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"QUEUE_{name.upper()}", "")
    assert Settings() == defaults


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("QUEUE_MAX_CONCURENT", "QUEUE_MAX_CONCURRENT"),
        ("QUEUE_WORKERS_MAX_CONCURRENT", "QUEUE_MAX_CONCURRENT"),
        ("QUEUE_FETCH_PORT", "QUEUE_FETCH_PORTS"),
        ("queue_loglevel", "QUEUE_LOG_LEVEL"),
        ("QUEUE_XYZZY", None),
        ("QUEUE_", None),
    ],
)
def test_a_name_that_is_none_of_them_is_told_with_the_nearest(name: str, nearest: str | None) -> None:
    (told,) = unknown_variables([name, "PATH"])
    assert told == f"{name} is no setting, and is ignored." + (f" Did you mean {nearest}?" if nearest else "")


def test_what_others_set_is_passed_over() -> None:
    names = [f"QUEUE_{name.upper()}" for name in Settings.model_fields]
    names += ["queue_log_level", "QUEUE_URL", "QUEUE", "QUEUEING", "MY_QUEUE_MODEL"]
    # As Kubernetes has them for the services queue and queue-web.
    names += ["QUEUE_SERVICE_HOST", "QUEUE_SERVICE_PORT", "QUEUE_SERVICE_PORT_HTTP", "QUEUE_WEB_SERVICE_HOST"]
    names += ["QUEUE_PORT", "QUEUE_PORT_5000_TCP", "QUEUE_PORT_5000_TCP_ADDR", "QUEUE_PORT_5000_TCP_PROTO"]
    assert unknown_variables(names) == []


def test_a_service_warns_of_it_once(tmp_path: Path) -> None:
    with running(tmp_path, max_concurent="1") as service:
        service.wait_until("/health")
        assert service.log.count("QUEUE_MAX_CONCURENT is no setting") == 1


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Settings(), "max_concurrent", 4)  # noqa: B010 - the type checker refuses the plain way


def test_the_database_is_queue_db_in_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/queue.db"
    assert settings.blob_dir == tmp_path / "data"


def test_what_the_contract_promises_is_the_default() -> None:
    settings = Settings()
    assert (settings.default_model, settings.retention_days, settings.cors_origins) == ("u2net", 7, ("*",))
    assert settings.api_token is None


def test_bytes_and_database_lie_under_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "service")
    assert settings.blob_dir == tmp_path / "service" / "data"
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/service/queue.db"


def test_another_database_can_be_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql://db/queue")
    assert settings.resolved_database_url == "postgresql://db/queue"


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("*", ("*",)),
        ("none", ()),
        ("https://a.example, https://b.example ,", ("https://a.example", "https://b.example")),
    ],
)
def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]) -> None:
    monkeypatch.setenv("QUEUE_CORS_ORIGINS", value)
    assert Settings().cors_origins == origins


@pytest.mark.parametrize("token", ["   ", "s3cret ", "s3cret\n", "s\xe9cret"])
def test_a_token_that_no_header_carries_ends_the_start(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("QUEUE_API_TOKEN", token)
    with pytest.raises(ValidationError, match="header"):
        Settings()


def test_the_token_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_API_TOKEN", "s3cret")
    settings = Settings()
    assert "s3cret" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "s3cret"


def test_a_picture_gets_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().max_concurrent == cores()
    assert Settings().threads_per_picture == 1
    assert Settings(max_concurrent=1).threads_per_picture == cores()
    assert Settings(max_concurrent=256).threads_per_picture == max(1, cores() // 256)
    monkeypatch.setenv("QUEUE_MAX_CONCURRENT", " Auto")
    assert Settings().max_concurrent == cores()


def test_a_machine_with_very_many_cores_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settings.cores", lambda: 384)
    assert Settings().max_concurrent == Settings.model_validate({"max_concurrent": "auto"}).max_concurrent == 256


def test_megapixels_are_millions_of_pixels() -> None:
    assert Settings(max_megapixels=0.5).max_pixels == 500_000
