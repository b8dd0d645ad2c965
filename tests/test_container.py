"""The container without an engine: its files, and its command run directly."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from conftest import Json, NewLead
from leadapi import config
from leadapi.config import SettingsSchema
from servers import ROOT

BIN = Path(sys.executable).parent
# The services of the compose file that run our image.
OWN = ["leadapi", "migrate", "leadapi-2", "deliver"]
WHAT_TO_INSTALL = "it is missing: pip install -r tests/requirements.txt"


def arguments(instruction: str) -> list[str]:
    """The arguments of each use of an instruction in the Dockerfile, in all stages, joined to one line."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = (line.partition(" ") for line in re.sub(r"\\\n\s*", "", text).splitlines())
    return [rest.strip() for name, _, rest in lines if name == instruction]


def command(instruction: str) -> list[str]:
    """The command of an instruction in its exec form."""
    (rest,) = arguments(instruction)
    words: list[str] = json.loads(rest[rest.index("[") :])
    return words


# --- Dockerfile ----------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip(f"hadolint: {WHAT_TO_INSTALL}")

    said = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert (said.stdout + said.stderr, said.returncode) == ("", 0)


def test_the_build_sees_only_what_it_copies() -> None:
    copied = {words.split()[0] for words in arguments("COPY") if not words.startswith("--from")}
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    assert patterns[0] == "*"
    assert {pattern[1:] for pattern in patterns if pattern[0] == "!"} == copied


def test_the_image_leaves_out_the_tests_packages() -> None:
    script = re.search(r"sed '(.+?)' requirements\.txt", arguments("RUN")[0])
    assert script is not None

    kept = subprocess.run(["sed", script[1], ROOT / "requirements.txt"], capture_output=True, text=True, check=True)

    assert re.search(r"^Werkzeug==", kept.stdout, re.MULTILINE)
    assert not re.search(r"^(pytest|pluggy)==", kept.stdout, re.MULTILINE)


# --- .env.example --------------------------------------------------------------------------------


def test_the_example_names_every_setting_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text()

    active = dotenv_values(stream=io.StringIO(text))
    everything = dotenv_values(stream=io.StringIO(re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE)))

    assert active == {"DATABASE_URL": "sqlite:///./app.db", "ENV": "local", "LOG_LEVEL": "INFO"}
    assert list(everything) == list(SettingsSchema().fields)
    given = {name: value for name, value in everything.items() if value}
    assert list(given) == list(everything)
    assert config.load(given) == config.load({})


# --- docker-compose.yml --------------------------------------------------------------------------


def interpolated(value: str, variables: dict[str, str]) -> str:
    """A value as Compose passes it on: ${NAME:-default}, ${NAME:+alternative} and $NAME, the innermost first."""

    def substitute(found: re.Match[str]) -> str:
        name, operator, operand = found["plain"] or found["name"], found["operator"], found["operand"] or ""
        given = variables.get(name, "")
        return {":-": given or operand, ":+": operand if given else ""}.get(operator, given)

    pattern = r"\$(?P<plain>\w+)|\$\{(?P<name>\w+)(?:(?P<operator>:[-+])(?P<operand>[^${}]*))?\}"
    while (result := re.sub(pattern, substitute, value)) != value:
        value = result
    return value


@pytest.fixture
def compose() -> Json:
    """The compose file."""
    yaml = pytest.importorskip("yaml", reason=f"PyYAML: {WHAT_TO_INSTALL}")
    loaded: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_only_the_profile_starts_more_than_the_service(compose: Json) -> None:
    profiles = {name: service.get("profiles") for name, service in compose["services"].items()}

    assert profiles == {
        "leadapi": None,
        "migrate": ["postgres", "cluster"],
        "postgres": ["postgres", "cluster"],
        "leadapi-2": ["cluster"],
        "deliver": ["cluster"],
        "redis": ["cluster"],
        "caddy": ["public"],
        "balancer": ["cluster"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    assert compose["services"]["leadapi"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully", "required": False}
    }
    assert compose["services"]["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_no_variable_is_demanded_from_those_who_do_not_need_it() -> None:
    # Compose evaluates the variables of all services, including those that the profile leaves out.
    assert re.findall(r"\$\{\w+:?\?", (ROOT / "docker-compose.yml").read_text()) == []


@pytest.mark.parametrize("name", OWN)
def test_every_setting_but_where_the_container_listens_is_passed_on(compose: Json, name: str) -> None:
    environment = compose["services"][name]["environment"]

    assert set(environment) == set(SettingsSchema().fields) - {"HOST", "PORT"}
    for variable, value in environment.items():
        assert value.startswith(f"${{{variable}:-")


def test_the_data_is_in_a_volume_and_the_service_on_the_local_port_8000(compose: Json) -> None:
    service = compose["services"]["leadapi"]

    assert service["volumes"] == ["data:/data"]
    assert arguments("VOLUME") == [arguments("WORKDIR")[-1]] == ["/data"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert arguments("EXPOSE") == [str(config.load({}).port)] == ["8000"]
    for each in compose["services"].values():
        sources = {volume.partition(":")[0] for volume in each.get("volumes", ())}
        folders = {source for source in sources if source.startswith("./")}
        assert sources - folders <= set(compose["volumes"])
        assert all((ROOT / folder).is_dir() for folder in folders)


def test_a_domain_makes_a_service_for_the_public(compose: Json) -> None:
    given = {"DOMAIN": "leads.example.com", "FORM_SECRET": "f" * 32}
    environment = compose["services"]["leadapi"]["environment"]
    settings = config.load({name: interpolated(value, given) for name, value in environment.items()})

    assert (settings.env, settings.auth, settings.trusted_proxies) == ("production", True, 1)
    assert settings.public_url == "https://leads.example.com"
    local = config.load({name: interpolated(value, {}) for name, value in environment.items()})
    assert (local.env, local.auth, local.trusted_proxies, local.public_url) == ("local", False, 0, "")


def test_a_cluster_has_two_instances_on_one_database(compose: Json) -> None:
    services = compose["services"]
    given = {"DATABASE_URL": "postgresql://leadapi:x@postgres/leadapi", "REDIS_URL": "redis://redis:6379/0"}
    environments = [
        {variable: interpolated(value, given) for variable, value in services[name]["environment"].items()}
        for name in OWN
    ]

    assert all(environment == environments[0] for environment in environments)
    assert config.load(environments[0]).database_url.host in services
    assert interpolated(services["leadapi-2"]["environment"]["DATABASE_URL"], {}) == "missing"
    assert services["balancer"]["environment"]["UPSTREAMS"].split() == ["leadapi:8000", "leadapi-2:8000"]
    assert services["caddy"]["environment"]["UPSTREAMS"] == "leadapi:8000"


def test_what_watches_the_service_is_on_local_ports_and_changes_no_file_of_the_checkout(compose: Json) -> None:
    for name in ("prometheus", "grafana"):
        service = compose["services"][name]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert all(volume.endswith(":ro") for volume in service["volumes"] if volume.startswith("./"))


@pytest.mark.parametrize("name", OWN)
def test_the_service_has_no_more_rights_than_it_needs(compose: Json, name: str) -> None:
    service = compose["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert arguments("USER") == ["10001:10001"]


# --- the command ---------------------------------------------------------------------------


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """The content of /app in the image, read-only."""
    folder = tmp_path / "app"
    shutil.copytree(ROOT / "leadapi", folder / "leadapi", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "wsgi.py", folder)
    for path in (*folder.rglob("*"), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that stands for /data of the image."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(application: Path, data: Path, compose: Json) -> dict[str, str]:
    """The variables of the image and the defaults of compose, with folders of this machine and a free port."""
    places = {"/opt/venv/bin": str(BIN), "/app": str(application), "/data": str(data), "$PATH": os.defpath}
    place = re.compile("|".join(re.escape(there) for there in places))
    pairs = (pair.partition("=") for line in arguments("ENV") for pair in shlex.split(line))
    variables = {name: place.sub(lambda there: places[there[0]], value) for name, _, value in pairs}
    for name, value in compose["services"]["leadapi"]["environment"].items():
        variables[name] = interpolated(value, {})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return variables | {"PORT": str(probe.getsockname()[1])}


@pytest.fixture
def process(
    application: Path, data: Path, environment: dict[str, str], as_ordinary_user: list[str]
) -> Iterator[subprocess.Popen[str]]:
    """The command of the image, started."""
    with subprocess.Popen(
        [*as_ordinary_user, *command("CMD")],
        cwd=data,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        yield running
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        print(running.communicate(timeout=30)[0])  # noqa: T201  # the log of a test is checked, see run_log.py


def test_the_image_s_command_serves_on_a_read_only_tree(
    process: subprocess.Popen[str], data: Path, environment: dict[str, str], new_lead: NewLead
) -> None:
    def check_health() -> int:
        return subprocess.run(
            command("HEALTHCHECK"), cwd=data, env=environment, capture_output=True, check=False
        ).returncode

    deadline = time.monotonic() + 30
    while check_health() != 0:
        assert process.poll() is None
        assert time.monotonic() < deadline

    request = urllib.request.Request(
        f"http://127.0.0.1:{environment['PORT']}/leads",
        data=json.dumps(new_lead()).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        assert response.status == 201
    assert (data / "app.db").exists()

    process.terminate()
    assert process.wait(timeout=30) == 0
    assert check_health() == 1
