"""What `deploy/` starts is what there is: commands, options, routes, files."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from revisage.cli import COMMANDS
from revisage.cli._parse import parse
from revisage.cli.serve import Options
from revisage.server import ServerSettings

DEPLOY = Path(__file__).parents[1] / "deploy"


def serve_options(command: list[str]) -> Options:
    assert command[:2] == ["revisage", "serve"]
    return parse(Options, "serve", command[2:])


def test_the_image_starts_a_server_whose_health_is_asked_for() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = dict(re.findall(r"^(\w+) (.+)$", text, re.MULTILINE))
    options = serve_options(json.loads(lines["CMD"]))
    assert options.token_file == Path("/run/tokens")
    assert options.data == Path(lines["VOLUME"])
    check = json.loads(lines["HEALTHCHECK"].partition("CMD ")[2])
    assert check[0] == "python"
    assert f"http://127.0.0.1:{lines['EXPOSE']}/readyz" in check[2]
    compile(check[2], "HEALTHCHECK", "exec")
    kept = re.findall(r"^!(\S+)", (DEPLOY.parent / ".dockerignore").read_text(), re.MULTILINE)
    assert kept
    assert all((DEPLOY.parent / name).exists() for name in kept)


def test_server_and_workers_share_queue_and_folder() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with revisage[docs]")
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = document["services"]
    server, worker = (serve_options(services[name]["command"]) for name in ("server", "worker"))
    assert server.database == worker.database
    assert server.data == worker.data
    assert server.workers == 0 < worker.workers
    assert services["server"]["ports"] == [f"127.0.0.1:8000:{server.port}"]
    ServerSettings(worker.data, host=worker.host)  # reached by nobody, so it needs no token
    for name in ("server", "worker"):
        assert services[name]["depends_on"] == {"database": {"condition": "service_healthy"}}
        volumes = dict(volume.split(":")[:2] for volume in services[name]["volumes"])
        assert volumes["photos"] == str(server.data)
        assert volumes["./tokens"] == str(server.token_file)
    database = services["database"]
    url, login = urlsplit(server.database or ""), database["environment"]
    assert (url.hostname, url.username, url.path) == ("database", login["POSTGRES_USER"], f"/{url.username}")
    assert services["worker"]["environment"] == {"PGPASSWORD": login["POSTGRES_PASSWORD"]}
    assert "--host" in database["healthcheck"]["test"], "its socket answers before it is made"
    ignored = (DEPLOY.parent / ".gitignore").read_text().split()
    assert {"deploy/.env", "deploy/tokens"} <= set(ignored), "secrets beside the file that names them"
    used = {volume.split(":")[0] for service in services.values() for volume in service["volumes"]}
    assert {name for name in used if name[0] != "."} == set(document["volumes"])


def test_the_starters_start_commands_that_there_are() -> None:
    desktop = ConfigParser(interpolation=None)
    desktop.read(DEPLOY / "desktop" / "revisage.desktop")
    [starter] = [dict(desktop[section]) for section in desktop.sections()]
    assert starter["terminal"] == "true", "a window whose end is the server's"
    batch = (DEPLOY / "desktop" / "Revisage.bat").read_bytes()
    assert batch.count(b"\r\n") == batch.count(b"\n")
    command = (DEPLOY / "desktop" / "Revisage.command").read_text()
    for text in (starter["exec"], batch.decode(), command):
        started = re.findall(r"\brevisage (\w+)", text)
        assert started
        assert set(started) <= set(COMMANDS)
