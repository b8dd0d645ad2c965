"""flask destinations."""

import re
from collections.abc import Callable

import pytest
from destinations.conftest import URL, Dispatch, NewDestination, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient

import run_log
from conftest import MARKER, StoredLead, body
from leadapi.destinations import cli
from webhook_receiver import Receiver

Run = Callable[..., str]


@pytest.fixture
def run(app: Flask) -> Run:
    """Run a command and return what it writes to standard output, or what it says if it fails as expected."""

    def invoke(*arguments: str, status: int = 0, typed: str | None = None) -> str:
        result = app.test_cli_runner().invoke(args=["destinations", *arguments], input=typed)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        run_log.secrets.extend(re.findall("whsec_[A-Za-z0-9+/=]+", result.stdout))
        return str(result.output if status else result.stdout)

    return invoke


# --- create, list, show --------------------------------------------------------------------------


def test_create_shows_the_secret_of_a_webhook_and_nothing_else(run: Run, client: FlaskClient) -> None:
    shown = run("create", "webhook", URL)

    assert re.fullmatch("whsec_[A-Za-z0-9+/]{43}=\n", shown)
    assert body(client.get("/destinations/1"))["url"] == URL


def test_create_takes_every_field(run: Run, client: FlaskClient) -> None:
    options = ["--event", "lead.*", "--source", "fair", "--source", "page", "--description", "CRM"]

    run("create", "webhook", URL, *options, "--header", "X-Key:  a:b", "--header", "X-Other: c")

    shown = body(client.get("/destinations/1"))
    assert (shown["events"], shown["sources"], shown["description"]) == (["lead.*"], ["fair", "page"], "CRM")
    assert shown["headers"] == ["X-Key", "X-Other"]


def test_create_shows_no_secret_of_mail(run: Run) -> None:
    assert run("create", "email", "mailto:sales@example.com") == ""


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["pigeon", URL], 2, "'pigeon' is not one of 'webhook', 'email', 'chat'"),
        (["webhook", "ftp://example.com"], 1, "url: "),
        (["webhook", URL, "--event", "lead.test"], 1, "events.0: Must be one of: "),
        (["webhook", URL, "--header", "Host: a"], 1, "headers.Host: The service sets this header itself."),
        (["webhook", URL, "--header", "Authorization"], 1, "headers.Authorization: Must be a string"),
        (["email", "mailto:sales@example.com", "--header", "A: b"], 1, "headers: Only a webhook has headers."),
        (["email", URL], 1, "url: "),
    ],
)
def test_create_says_what_is_wrong(run: Run, client: FlaskClient, arguments: list[str], status: int, said: str) -> None:
    assert said in run("create", *arguments, status=status)

    assert body(client.get("/destinations"))["total"] == 0


def test_list_shows_all_destinations(
    app: Flask, run: Run, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    for number in range(101):
        new_destination(sources=["fair"] if number else None)
    change_rows(app, "UPDATE destinations SET enabled = false, disabled_reason = 'gone' WHERE id = 2")
    change_rows(app, "UPDATE destinations SET enabled = false WHERE id = 3")
    stored_lead()
    change_rows(app, "UPDATE deliveries SET state = 'failed', last_attempt_at = '2026-02-28 10:00:00.000000Z'")

    header, *lines = run("list").splitlines()

    assert header.split() == ["ID", "KIND", "URL", "EVENTS", "SOURCES", "STATE", "LAST", "DELIVERY"]
    assert len(lines) == 101
    assert re.split("  +", lines[0]) == [
        *("1", "webhook", URL, "lead.created,lead.repeated", "all", "enabled", "failed 2026-02-28T10:00:00Z")
    ]
    assert [re.split("  +", line)[4:] for line in lines[1:4]] == [
        ["fair", "disabled (gone)", "-"],
        ["fair", "disabled (by hand)", "-"],
        ["fair", "enabled", "-"],
    ]


def test_show_shows_every_field_but_secrets(run: Run, new_destination: NewDestination) -> None:
    created = new_destination(headers={"X-Key": f"{MARKER} key", "X-Other": "b"}, sources=["fair"])

    shown = dict(re.split("  +", line) for line in run("show", "1").splitlines())

    assert shown == {
        "id": "1",
        "kind": "webhook",
        "url": URL,
        "events": "lead.created, lead.repeated",
        "sources": "fair",
        "description": "-",
        "headers": "X-Key, X-Other",
        "enabled": "yes",
        "disabled_reason": "-",
        "created_at": created["created_at"],
        "last_delivery": "-",
    }


# --- change, delete, rotate ----------------------------------------------------------------------


def test_change_changes_what_is_given(run: Run, client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(sources=["fair"], headers={"X-Old": "a", "X-Kept": "b"}, description="CRM")

    run("change", "1", "--disable", "--header", "X-New: c", "--remove-header", "x-old", "--event", "lead.*")
    first = body(client.get("/destinations/1"))
    run("change", "1", "--enable", "--all-sources", "--url", f"{URL}/2", "--description", "")
    second = body(client.get("/destinations/1"))

    assert (first["enabled"], first["headers"], first["events"]) == (False, ["X-Kept", "X-New"], ["lead.*"])
    assert (first["sources"], first["description"], first["url"]) == (["fair"], "CRM", URL)
    assert (second["enabled"], second["sources"], second["url"]) == (True, None, f"{URL}/2")
    assert second["description"] is None


def test_delete_asks_first(run: Run, client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination()

    run("delete", "1", typed="n\n", status=1)
    kept = client.get("/destinations/1").status_code
    said = run("delete", "1", "--yes")

    assert (kept, client.get("/destinations/1").status_code) == (200, 404)
    assert said == "Destination 1 is deleted.\n"


def test_rotate_shows_a_new_secret(run: Run, new_destination: NewDestination) -> None:
    created = new_destination()

    shown = run("rotate", "1")

    assert re.fullmatch("whsec_[A-Za-z0-9+/]{43}=\n", shown)
    assert shown.strip() != created["secret"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "7"],
        ["change", "7", "--disable"],
        ["delete", "7", "--yes"],
        ["rotate", "7"],
        ["test", "7"],
        ["deliveries", "7"],
        ["replay", "7", "--since", "2026-02-28T10:00:00Z"],
    ],
)
def test_a_destination_that_is_not_there_is_told(run: Run, arguments: list[str]) -> None:
    assert run(*arguments, status=1) == "Error: There is no destination with this id.\n"


# --- test ----------------------------------------------------------------------------------------


def test_test_tells_that_the_event_was_delivered(run: Run, hooked: Receiver, dispatch: Dispatch) -> None:
    dispatch()

    said = run("test", "1")

    assert re.fullmatch(r"Delivered in \d+ ms, status 204\.\n", said)
    (request,) = hooked.received
    assert (request.body["type"], request.body["data"]["email"]) == ("lead.test", "john@example.com")


def test_test_tells_why_an_attempt_failed_and_when_the_next_one_is(
    run: Run, hooked: Receiver, dispatch: Dispatch
) -> None:
    hooked.behave = lambda _: 500
    dispatch()

    said = run("test", "1", status=1)

    assert re.search(r"Error: The attempt failed: status, status 500\. The next attempt is at 20\S+Z\.", said)


def test_test_tells_that_the_destination_is_gone(run: Run, hooked: Receiver, dispatch: Dispatch) -> None:
    hooked.behave = lambda _: 410
    dispatch()

    said = run("test", "1", status=1)

    assert "Error: The attempt failed: status, status 410. The destination is disabled now (gone)." in said


def test_test_hints_at_the_dispatcher_if_none_takes_the_delivery(
    run: Run, client: FlaskClient, new_destination: NewDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_destination()
    monkeypatch.setattr(cli, "HINT_SECONDS", 0)

    said = run("test", "1", "--wait", "1", status=1)

    assert said.count("`flask deliver`") == 2
    assert [each["state"] for each in deliveries(client, 1)] == ["due"]


def test_test_needs_an_enabled_destination(run: Run, new_destination: NewDestination) -> None:
    new_destination(enabled=False)

    assert "This destination is disabled; enable it first." in run("test", "1", status=1)


# --- deliveries, replay --------------------------------------------------------------------------


def test_deliveries_are_listed_newest_first(
    app: Flask, run: Run, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    for _ in range(2):
        stored_lead()
    outcome = "state = 'failed', attempts = 8, last_attempt_at = :at, status = 500, error = 'status'"
    change_rows(app, f"UPDATE deliveries SET {outcome} WHERE id = 1", at="2026-02-28 10:00:00.000000Z")

    lines = [re.split("  +", line) for line in run("deliveries", "1").splitlines()]
    failed = run("deliveries", "1", "--state", "failed", "--limit", "1").splitlines()

    assert lines[0][:4] == ["ID", "TYPE", "LEAD", "STATE"]
    assert [line[:5] for line in lines[1:]] == [
        ["2", "lead.created", "2", "due", "0"],
        ["1", "lead.created", "1", "failed", "8"],
    ]
    assert lines[2][5:] == ["2026-02-28T10:00:00Z", "-", "500", "status"]
    assert len(failed) == 2


def test_replay_makes_deliveries_due(
    app: Flask, run: Run, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    for _ in range(3):
        stored_lead()
    change_rows(app, "UPDATE deliveries SET state = 'failed', last_attempt_at = '2026-02-28 10:00:00.000000Z'")

    one = run("replay", "1", "--delivery", "2")
    refused = run("replay", "1", "--delivery", "2", status=1)
    unknown = run("replay", "1", "--delivery", "7", status=1)
    rest = run("replay", "1", "--since", "2026-02-28T10:00:00Z")

    assert (one, rest) == ("Delivery 2 is due.\n", "2 deliveries are due.\n")
    assert "Only a delivery that failed or was delivered can be replayed." in refused
    assert "This destination has no delivery with this id." in unknown
    assert {each["state"] for each in deliveries(client, 1)} == {"due"}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Give either --delivery or --since."),
        (["--delivery", "1", "--since", "2026-02-28T10:00:00Z"], "Give either --delivery or --since."),
        (["--since", "yesterday"], "Not a date and time with a zone"),
    ],
)
def test_replay_says_what_it_needs(run: Run, new_destination: NewDestination, options: list[str], said: str) -> None:
    new_destination()

    assert said in run("replay", "1", *options, status=2)
