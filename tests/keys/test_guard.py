"""Every operation, asked for with every kind of key and with none."""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import Json, MakeApp, NewLead, body, make_key
from leadapi.keys import service
from leadapi.keys.texts import make_key as make_text

Headers = dict[str, str]
Ask = Callable[[FlaskClient, "Operation"], TestResponse]

# The scopes that `admin` includes.
LESSER = {"capture", "read", "write"}
LET_IN = "let in"


@dataclass(frozen=True)
class Operation:
    """The facts in the document about one operation."""

    method: str
    path: str
    has_body: bool
    scope: str | None
    public: bool

    def call(self, client: FlaskClient, headers: Headers, query: str = "") -> TestResponse:
        """Ask for it, with an empty object where it takes a body."""
        path = re.sub(r"\{\w+\}", "1", self.path)
        response = client.open(
            f"{path}{query}", method=self.method, headers=headers, json={} if self.has_body else None
        )
        # A streamed response holds a connection.
        response.close()
        return response


def operations(app: Flask) -> Iterator[Operation]:
    document = body(app.test_client().get("/openapi.json"))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            asked: list[Json] = operation["security"]
            scopes = {scope for one in asked for names in one.values() for scope in names}
            assert len(scopes) == (1 if asked else 0), (method, path)
            yield Operation(method, path, "requestBody" in operation, next(iter(scopes), None), {} in asked)


def bearer(key: str) -> Headers:
    return {"Authorization": f"Bearer {key}"}


def basic(key: str, password: str = "") -> Headers:
    return {"Authorization": f"Basic {base64.b64encode(f'{key}:{password}'.encode()).decode()}"}


def verdict(response: TestResponse) -> int | str:
    """401 or 403 as they must look, or that the request came through."""
    if response.status_code not in (401, 403):
        return LET_IN
    assert response.mimetype == "application/problem+json"
    assert list(body(response)) == ["detail"]
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="leadapi"')
    return response.status_code


def showing(headers: Headers) -> Ask:
    """A client that sends these headers."""
    return lambda client, operation: operation.call(client, headers)


def table(app: Flask, ask: Ask) -> dict[Operation, int | str]:
    """The verdict on each operation."""
    client = app.test_client()
    return {operation: verdict(ask(client, operation)) for operation in operations(app)}


def test_every_operation_says_what_it_asks_for(app: Flask) -> None:
    found = {(operation.method, operation.path): operation.scope for operation in operations(app)}

    assert set(found.values()) <= {*service.SCOPES, None}
    assert {path for (_, path), scope in found.items() if scope is None} == {"/health", "/ready", "/forms/ts"}
    assert {operation.path for operation in operations(app) if operation.public} == {"/leads"}


def test_without_a_key_only_what_is_public_is_open(app: Flask) -> None:
    answers = table(app, showing({}))

    assert answers == {each: LET_IN if each.public or each.scope is None else 401 for each in answers}


def test_capture_can_be_closed_to_the_public(shared_app: MakeApp) -> None:
    app = shared_app(AUTH="on", PUBLIC_CAPTURE="off")

    answers = table(app, showing({}))

    assert answers == {each: LET_IN if each.scope is None else 401 for each in answers}


def test_a_key_opens_what_its_scope_names_and_nothing_else(app: Flask) -> None:
    for scope in LESSER:
        key = make_key(app, scope)
        answers = table(app, showing(bearer(key)))
        assert answers == {each: LET_IN if each.scope in (scope, None) else 403 for each in answers}


def test_every_other_scope_together_does_not_do(app: Flask) -> None:
    keys = {scope: make_key(app, *(LESSER - {scope})) for scope in service.SCOPES}

    answers = table(app, lambda client, operation: operation.call(client, bearer(keys[operation.scope or "read"])))

    assert answers == {each: LET_IN if each.scope is None else 403 for each in answers}


def test_admin_opens_everything(app: Flask) -> None:
    key = make_key(app, "admin")

    assert set(table(app, showing(bearer(key))).values()) == {LET_IN}


@pytest.mark.parametrize(
    "show",
    [
        bearer,
        lambda key: {"Authorization": f"bEARER  {key} "},
        lambda key: {"X-API-Key": key},
        basic,
        lambda key: {"Authorization": basic(key, "any:password")["Authorization"].replace("Basic", "BASIC")},
        lambda key: {**bearer(key), "X-API-Key": key},
    ],
    ids=["bearer", "bearer in any case", "header", "basic", "basic with a password", "the same twice"],
)
def test_the_right_key_is_taken_in_any_of_three_places(app: Flask, show: Callable[[str], Headers]) -> None:
    keys = {scope: make_key(app, scope) for scope in service.SCOPES}

    answers = table(app, lambda client, operation: operation.call(client, show(keys[operation.scope or "read"])))

    assert set(answers.values()) == {LET_IN}


def broken_keys(app: Flask) -> dict[str, Headers]:
    """What may do nothing, though all but the first few belong to a key that may do everything."""
    right, other = make_key(app, "admin"), make_key(app, "admin")
    unknown = str(make_text())
    mistyped = right[:20] + ("a" if right[20] != "a" else "b") + right[21:]
    revoked = make_key(app, "admin")
    with app.app_context():
        service.revoke_key(revoked[3:15])
    expired = make_key(app, "admin", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    # The id of a real key, with the secret of another and a checksum that fits.
    forged = str(type(make_text())(right[3:15], other[16:59]))
    return {
        "garbage": bearer("garbage"),
        "nothing": bearer(""),
        "no scheme": {"Authorization": right},
        "another scheme": {"Authorization": f"Digest {right}"},
        "broken Basic": {"Authorization": "Basic *"},
        "Basic, not text": {"Authorization": "Basic /////w=="},
        "Basic, as password": basic("", right),
        "an empty header": {"X-API-Key": ""},
        "unknown": bearer(unknown),
        "mistyped": bearer(mistyped),
        "in another case": bearer(right.swapcase()),
        "forged": bearer(forged),
        "revoked": bearer(revoked),
        "expired": bearer(expired),
        "two keys": {**bearer(right), "X-API-Key": other},
        "a right and a wrong one": {**bearer(right), "X-API-Key": "garbage"},
        "a list": bearer(f"{right}, Bearer {other}"),
    }


def test_a_key_that_is_not_valid_opens_nothing_not_even_what_is_public(app: Flask) -> None:
    for name, headers in broken_keys(app).items():
        answers = table(app, showing(headers))
        assert answers == {each: LET_IN if each.scope is None else 401 for each in answers}, name


@pytest.mark.one_database
@pytest.mark.parametrize("parameter", ["api_key", "access_token", "X-API-Key", "key"])
def test_a_key_in_the_query_string_is_no_key(app: Flask, parameter: str) -> None:
    key = make_key(app, "admin")

    answers = table(app, lambda client, operation: operation.call(client, {}, f"?{parameter}={key}"))

    assert answers == {each: LET_IN if each.public or each.scope is None else 401 for each in answers}


def test_a_lead_with_a_key_in_the_query_string_is_not_stored(app: Flask, new_lead: NewLead) -> None:
    key = make_key(app, "admin")

    response = app.test_client().post(f"/leads?api_key={key}", json=new_lead())

    assert response.status_code == 422
    assert body(response)["errors"] == {"api_key": ["Unknown field."]}


def test_challenges_are_those_of_the_standard(app: Flask) -> None:
    client = app.test_client()

    without = client.get("/leads")
    wrong = client.get("/leads", headers=bearer("garbage"))
    narrow = client.get("/leads", headers=bearer(make_key(app, "capture")))

    assert without.headers["WWW-Authenticate"] == 'Bearer realm="leadapi"'
    assert wrong.headers["WWW-Authenticate"] == 'Bearer realm="leadapi", error="invalid_token"'
    assert narrow.headers["WWW-Authenticate"] == ('Bearer realm="leadapi", error="insufficient_scope", scope="read"')
    assert body(narrow) == {"detail": "The API key does not have the scope read."}


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/", "/docs", "/docs/start.js", "/openapi.json", "/health", "/ready"])
def test_pages_and_probes_stay_open(app: Flask, path: str) -> None:
    response = app.test_client().get(path, headers=bearer("garbage"))
    response.close()

    assert response.status_code in (200, 302)


def test_requests_that_reach_no_operation_need_no_key(app: Flask) -> None:
    client = app.test_client()

    assert client.get("/nowhere").status_code == 404
    assert client.put("/leads").status_code == 405
    assert client.options("/leads").status_code == 200


def test_head_asks_for_what_get_asks_for(app: Flask) -> None:
    client = app.test_client()

    assert client.head("/leads").status_code == 401
    assert client.head("/leads", headers=bearer(make_key(app, "read"))).status_code == 200
    assert client.head("/health").status_code == 200


@pytest.mark.usefixtures("own_app")
def test_a_route_that_says_nothing_is_for_admins(app: Flask) -> None:
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    client = app.test_client()

    assert client.get("/forgotten").status_code == 401
    assert client.get("/forgotten", headers=bearer(make_key(app, *LESSER))).status_code == 403
    assert client.get("/forgotten", headers=bearer(make_key(app, "admin"))).status_code == 200


def test_with_auth_off_keys_are_not_looked_at(shared_app: MakeApp) -> None:
    app = shared_app(AUTH="off")

    for headers in ({}, bearer("garbage"), {"X-API-Key": "garbage"}):
        answers = table(app, showing(headers))
        assert set(answers.values()) == {LET_IN}


@pytest.mark.parametrize(
    ("env", "auth", "warned"), [("local", "off", 0), ("production", "off", 1), ("production", "", 0)]
)
def test_a_service_that_asks_nobody_says_so(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str], env: str, auth: str, warned: int
) -> None:
    make_app(DATABASE_URL="sqlite://", ENV=env, AUTH=auth)

    assert capsys.readouterr().out.count('"event":"auth.off"') == warned
