"""GET /health and GET /ready."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import MakeApp, body
from leadapi import storage
from postgres import Postgres


def test_health_is_what_the_seed_says(client: FlaskClient) -> None:
    response = client.get("/health")

    assert response.status_code == 200
    assert response.data == b'{"status":"ok"}'


def test_health_touches_nothing(make_app: MakeApp) -> None:
    client = make_app(DATABASE_URL="postgresql://127.0.0.1:1/nowhere").test_client()

    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 503


def test_is_ready_when_the_schema_is_current(client: FlaskClient) -> None:
    response = client.get("/ready")

    assert response.status_code == 200
    assert response.data == b'{"status":"ok"}'


def test_is_not_ready_without_the_schema(make_app: MakeApp, empty_database_url: str) -> None:
    client = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off").test_client()

    response = client.get("/ready")

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert body(response) == {"detail": "The database schema is not current; run: flask db upgrade"}
    assert client.post("/leads", json={"full_name": "Zebedee", "email": "z@example.com"}).status_code == 503


@pytest.mark.usefixtures("own_app")
def test_is_not_ready_for_a_schema_from_the_future(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, AUTO_MIGRATE="on")
    with app.app_context(), storage.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    response = app.test_client().get("/ready")

    assert response.status_code == 503
    assert body(response)["detail"].startswith("The database schema is newer than this version of leadapi")
    refused = app.test_cli_runner().invoke(args=["db", "upgrade"])
    assert refused.exit_code == 1
    assert "Error: Can't locate revision" in refused.output


def test_migrates_as_soon_as_it_can_where_it_may(make_app: MakeApp, empty_database_url: str) -> None:
    waiting = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")
    waiting.config["AUTO_MIGRATE"] = True
    client = waiting.test_client()

    assert client.get("/ready").status_code == 200
    assert client.get("/leads").status_code == 200


def test_a_database_that_takes_only_reads_ends_in_503(make_app: MakeApp, postgres: Postgres) -> None:
    url = postgres.new_database("migrated")
    name = url.partition("?")[0].rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    client = make_app(DATABASE_URL=url).test_client()

    assert client.post("/leads", json={"full_name": "Zebedee", "email": "z@example.com"}).status_code == 503
    assert client.get("/leads").status_code == 200
