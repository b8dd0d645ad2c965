"""GET /leads/export, several times at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from conftest import MakeApp, NewLead, body

THREADS = 3


@pytest.fixture
def client(shared_app: MakeApp, new_lead: NewLead) -> FlaskClient:
    """A client of a service with a few threads and more leads than are read at once."""
    client = shared_app(THREADS=str(THREADS)).test_client()
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(300)]})
    return client


def begin(client: FlaskClient) -> tuple[Any, Iterator[Any]]:
    """An export of which a part was read."""
    export = client.get("/leads/export", buffered=False)
    assert export.status_code == 200
    chunks = iter(export.response)
    next(chunks)
    return export, chunks


def test_exports_leave_a_thread_to_others(client: FlaskClient, new_lead: NewLead) -> None:
    exports = [begin(client)[0] for _ in range(THREADS - 1)]

    refused = client.get("/leads/export", buffered=True)
    captured = client.post("/leads", json=new_lead())
    for export in exports:
        export.close()

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert body(refused) == {"detail": "Too many exports are running; try again when one has ended."}
    assert captured.status_code == 201


@pytest.mark.parametrize("is_read_to_its_end", [True, False])
def test_an_export_that_has_ended_makes_room(client: FlaskClient, *, is_read_to_its_end: bool) -> None:
    for _ in range(2 * THREADS):
        export, chunks = begin(client)
        if is_read_to_its_end:
            assert list(chunks)
        export.close()
        # A server may close a response again.
        export.close()

    begun = [begin(client)[0] for _ in range(THREADS - 1)]
    assert client.get("/leads/export").status_code == 503
    for export in begun:
        export.close()


def test_an_export_that_is_refused_holds_nothing(client: FlaskClient) -> None:
    for _ in range(2 * THREADS):
        assert client.get("/leads/export?status=x").status_code == 422
        assert client.get("/leads/export", headers={"Accept": "image/png"}).status_code == 406
        assert client.head("/leads/export", buffered=True).status_code == 200

    assert client.get("/leads/export", buffered=True).status_code == 200


def test_one_thread_is_enough_for_an_export(shared_app: MakeApp) -> None:
    client = shared_app(THREADS="1").test_client()

    assert client.get("/leads/export", buffered=True).status_code == 200
