"""No request costs more processor time than a few ordinary ones do."""

import gc
import time
from collections.abc import Iterable
from itertools import tee

import pytest
import worst_requests
from flask.testing import FlaskClient
from worst_requests import Request

from conftest import MakeApp, make_key

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

# As much as all servers take for all header fields together.
MAX_HEADER_LENGTH = 2**17
ANONYMOUS, WITH_KEY = 0.15, 0.5
# Other programs disturb a measurement, so a request is repeated as often until it takes less than the limit.
ATTEMPTS = 10
# Without the header, none of the requests takes 5 ms.
HEADER = 0.025
SETTINGS = {
    "CORS_ORIGINS": worst_requests.SITE,
    "TRUSTED_PROXIES": "1",
}


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """Leave what other tests have made out of garbage collections."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def client(sqlite_app: MakeApp) -> FlaskClient:
    """A client of a service that has all that reads headers."""
    return sqlite_app(**SETTINGS).test_client()


def dear(client: FlaskClient, rounds: Iterable[Iterable[Request]], limit: float, **headers: str) -> list[str]:
    """The requests that take as much processor time in each round."""
    attempts = zip(*rounds, strict=True)
    return [
        attempt[0].name for attempt in attempts if all(_seconds(client, each, headers) >= limit for each in attempt)
    ]


def _seconds(client: FlaskClient, request: Request, headers: dict[str, str]) -> float:
    given = {"Content-Type": request.content_type} | headers | request.headers
    if request.method == "GET":
        given.pop("Content-Type")
    started = time.thread_time()
    client.open(request.path, method=request.method, data=request.body, headers=given, buffered=True)
    return time.thread_time() - started


@pytest.mark.parametrize("name", worst_requests.NAMES)
def test_no_header_costs_much(client: FlaskClient, name: str) -> None:
    assert dear(client, tee(worst_requests.headers(name, MAX_HEADER_LENGTH), ATTEMPTS), HEADER) == []


def test_no_path_and_no_query_cost_much(client: FlaskClient) -> None:
    assert dear(client, tee(worst_requests.targets(2**15), ATTEMPTS), ANONYMOUS) == []


def test_no_document_costs_much(client: FlaskClient) -> None:
    assert dear(client, tee(worst_requests.documents(), ATTEMPTS), ANONYMOUS) == []


def test_no_form_costs_much(client: FlaskClient) -> None:
    assert dear(client, tee(worst_requests.forms(), ATTEMPTS), ANONYMOUS) == []


@pytest.mark.parametrize("scope", ["capture", "admin"])
def test_no_batch_costs_much(sqlite_app: MakeApp, scope: str) -> None:
    app = sqlite_app(**SETTINGS, AUTH="on")
    key = f"Bearer {make_key(app, scope)}"
    # New people each time: a repeat is cheaper.
    rounds = [worst_requests.batches(f"{scope}{number}") for number in range(ATTEMPTS)]

    assert dear(app.test_client(), rounds, WITH_KEY, Authorization=key) == []
