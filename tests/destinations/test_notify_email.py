"""The destination that the setting NOTIFY_EMAIL makes."""

from typing import Any

import pytest
from destinations.conftest import change_rows, deliveries
from flask import Flask
from sqlalchemy import text

from conftest import Json, MakeApp, body
from leadapi import storage
from leadapi.destinations import notify
from servers import at_once

MAIL = {"SMTP_URL": "smtp://127.0.0.1:25", "MAIL_FROM": "leads@example.com"}


@pytest.fixture
def started(make_app: MakeApp, database_url: str) -> Any:
    """Start a service with a NOTIFY_EMAIL, as far as destinations are concerned."""

    def start(notify_email: str = "none") -> Flask:
        app = make_app(DATABASE_URL=database_url, NOTIFY_EMAIL=notify_email, **MAIL)
        sync(app)
        return app

    return start


def sync(app: Flask) -> None:
    with app.app_context():
        notify.sync_settings(app.extensions["settings"])


def listed(app: Flask) -> list[Json]:
    items: list[Json] = body(app.test_client().get("/destinations"))["items"]
    return items


def test_the_setting_is_a_destination_by_itself(started: Any, new_lead: Any) -> None:
    app = started("Sales+Leads@EXAMPLE.com, boss@bücher.example")

    (shown,) = listed(app)
    app.test_client().post("/leads", json=new_lead())

    assert (shown["kind"], shown["enabled"]) == ("email", True)
    assert shown["url"] == "mailto:Sales+Leads@example.com,boss@xn--bcher-kva.example"
    assert (shown["events"], shown["sources"]) == (["lead.created", "lead.repeated"], None)
    assert [each["type"] for each in deliveries(app.test_client(), shown["id"])] == ["lead.created"]


def test_it_is_there_before_the_first_lead(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, NOTIFY_EMAIL="sales@example.com", **MAIL)

    assert [each["url"] for each in listed(app)] == ["mailto:sales@example.com"]


def test_a_database_without_the_schema_does_not_keep_the_service_from_starting(
    make_app: MakeApp, empty_database_url: str
) -> None:
    environ = {"DATABASE_URL": empty_database_url, "AUTO_MIGRATE": "off", "NOTIFY_EMAIL": "sales@example.com", **MAIL}
    app = make_app(**environ)
    migrated = make_app(**environ | {"AUTO_MIGRATE": "on", "NOTIFY_EMAIL": "none"})

    # As the first dispatcher does.
    sync(app)

    assert [each["url"] for each in listed(migrated)] == ["mailto:sales@example.com"]


def test_only_a_dispatcher_enables_it_again(make_app: MakeApp, started: Any, database_url: str) -> None:
    app = started("sales@example.com")
    change_rows(app, "UPDATE destinations SET enabled = false, disabled_reason = 'auth'")

    make_app(DATABASE_URL=database_url, NOTIFY_EMAIL="sales@example.com", **MAIL)

    assert listed(app)[0]["disabled_reason"] == "auth"


def test_without_the_setting_there_is_no_destination(started: Any) -> None:
    assert listed(started()) == []


def test_a_restart_makes_no_second_one(started: Any) -> None:
    first = listed(started("sales@example.com"))

    assert listed(started("sales@example.com")) == first


def test_another_address_changes_the_destination(started: Any) -> None:
    (before,) = listed(started("sales@example.com"))

    (after,) = listed(started("boss@example.com"))

    assert after == {**before, "url": "mailto:boss@example.com"}


def test_without_the_setting_the_destination_goes(started: Any) -> None:
    started("sales@example.com")

    assert listed(started()) == []


@pytest.mark.parametrize("reason", ["auth", "failing"])
def test_a_start_enables_what_the_service_has_disabled(started: Any, reason: str) -> None:
    app = started("sales@example.com")
    disabled = "enabled = false, disabled_reason = :reason, failing_since = created_at"
    change_rows(app, f"UPDATE destinations SET {disabled}", reason=reason)

    (after,) = listed(started("sales@example.com"))

    assert (after["enabled"], after["disabled_reason"]) == (True, None)
    with app.app_context(), storage.read() as connection:
        assert connection.execute(text("SELECT failing_since FROM destinations")).scalar_one() is None


@pytest.mark.parametrize(("method", "sent"), [("PATCH", {"enabled": False}), ("DELETE", None)])
def test_the_api_leaves_it_to_the_setting(started: Any, method: str, sent: Json | None) -> None:
    app = started("sales@example.com")
    before = listed(app)

    response = app.test_client().open("/destinations/1", method=method, json=sent)

    assert (response.status_code, response.json) == (
        409,
        {"detail": "This destination comes from the setting NOTIFY_EMAIL; change it there."},
    )
    assert listed(app) == before


def test_it_can_be_tested(started: Any) -> None:
    assert started("sales@example.com").test_client().post("/destinations/1/test").status_code == 202


def test_other_destinations_are_left_alone(started: Any) -> None:
    app = started()
    app.test_client().post("/destinations", json={"kind": "email", "url": "mailto:sales@example.com"})
    before = listed(app)

    started("sales@example.com")

    assert listed(started()) == before


def test_many_workers_may_start_at_once(make_app: MakeApp, database_url: str) -> None:
    apps = [make_app(DATABASE_URL=database_url, NOTIFY_EMAIL="sales@example.com", **MAIL) for _ in range(4)]
    change_rows(apps[0], "DELETE FROM destinations")

    at_once(4, lambda number: sync(apps[number]))

    assert len(listed(apps[0])) == 1
