"""The receivers in the guide accept what the service sends, and nothing else."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from browsers import DRIVER_IS_MISSING
from destinations.conftest import Dispatch, NewDestination
from flask import Flask
from flask.testing import FlaskClient

import run_log
from conftest import body
from leadapi.destinations import webhook
from servers import ROOT, free_port, wait_until_listening

GUIDE = (ROOT / "leadapi/guide/destinations.md").read_text()
BODY = b'{"type":"lead.test","timestamp":"2026-02-28T10:00:00Z","data":{}}'
OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

Start = Callable[[str, int], None]


def node() -> str:
    """The program that runs JavaScript. Playwright brings one."""
    playwright = pytest.importorskip("playwright", reason=DRIVER_IS_MISSING)
    return shutil.which("node") or str(Path(playwright.__file__).parent / "driver/node")


def code(pattern: str) -> str:
    """The program in the guide that a pattern finds."""
    found = re.search(pattern, GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(params=["python", "node"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start each receiver in turn, with a secret and on a port."""
    if request.param == "python":
        command, name, text = sys.executable, "receiver.py", code(r"\$ cat receiver\.py\n(.*?)```")
    else:
        command, name, text = node(), "receiver.mjs", code(r"```js\n(// receiver\.mjs\n.*?)```")
    (tmp_path / name).write_text(text)
    processes = []

    def run(secret: str, port: int) -> None:
        environ = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret, "PORT": str(port)}
        processes.append(
            subprocess.Popen(
                [command, name], cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        wait_until_listening(port)

    yield run
    for process in processes:
        process.kill()
        process.wait()


def send(port: int, headers: dict[str, str], content: bytes = BODY) -> int:
    """The status of the answer to a request that another program makes up."""
    response = urllib3.request("POST", f"http://127.0.0.1:{port}/", body=content, headers=headers, retries=False)
    return response.status


@pytest.mark.slow
def test_a_receiver_accepts_what_is_signed_with_its_secret(
    app: Flask, client: FlaskClient, new_destination: NewDestination, start: Start, dispatch: Dispatch
) -> None:
    port = free_port()
    secret = new_destination(url=f"http://127.0.0.1:{port}/hooks/leads")["secret"]
    start(secret, port)
    dispatch()

    tries = [app.test_cli_runner().invoke(args=["destinations", "test", "1"]).output]
    run_log.secrets.append(body(client.post("/destinations/1/rotate"))["secret"])
    tries.append(app.test_cli_runner().invoke(args=["destinations", "test", "1"]).output)

    assert ["status 204." in said for said in tries] == [True, True], tries


@pytest.mark.slow
def test_a_receiver_refuses_everything_else(start: Start) -> None:
    secret, port, now = f"whsec_{'A' * 43}=", free_port(), int(time.time())
    start(secret, port)
    genuine = webhook.signature([secret], "evt_1", now, BODY)

    assert send(port, genuine) == 204
    assert send(port, genuine, BODY.replace(b"{}", b"[]")) == 401
    assert send(port, {**genuine, "webhook-id": "evt_2"}) == 401
    assert send(port, webhook.signature([OTHER_SECRET], "evt_1", now, BODY)) == 401
    assert send(port, webhook.signature([secret], "evt_1", now - 600, BODY)) == 401
    assert send(port, {name: value for name, value in genuine.items() if name != "webhook-signature"}) == 401
    assert send(port, {}) == 401
