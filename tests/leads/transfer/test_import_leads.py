"""flask leads import: what becomes of the rows of a file."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from conftest import MARKER, NewLead, StoredLead, body
from leadapi import storage
from leadapi.storage import db

Import = Callable[..., Result]

# More than can be written again.
DEEP = b'{"full_name":"Zo","email":"deep@example.com","x":%b%b}' % (b"[" * 500, b"]" * 500)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to be written."""
    return tmp_path / "people.csv"


@pytest.fixture
def bring_in(app: Flask, file: Path) -> Import:
    """Run the command; what is given is the file's content."""

    def run(content: str | bytes, *options: str, name: str | None = None) -> Result:
        path = file.with_name(name) if name else file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return app.test_cli_runner().invoke(args=["leads", "import", str(path), *options])

    return run


def leads(client: FlaskClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = body(client.get("/leads?limit=100"))["items"]
    return items


def events(client: FlaskClient, lead_id: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = body(client.get(f"/leads/{lead_id}/events"))["items"]
    return items


def test_stores_rows_as_a_request_would(bring_in: Import, client: FlaskClient) -> None:
    result = bring_in(
        "Full Name,E_MAIL,company,message,Source\n"
        f"  {MARKER} Dee ,Z@EXAMPLE.com,,Hello ü,fair\nZe Bedee,INFO@x.example.com,Inc,,\n"
    )

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Done: stored 2, merged 0, ignored 0, refused 0 of 2 rows in ")
    first, second = leads(client)
    assert first == {
        "id": first["id"],
        "full_name": f"{MARKER} Dee",
        "email": "Z@example.com",
        "company": None,
        "message": "Hello ü",
        "source": "fair",
        "created_at": first["created_at"],
        "status": "new",
        "attributes": {},
        "updated_at": first["created_at"],
    }
    # The library writes the names of mailboxes that everybody has in lower case.
    assert (second["email"], second["company"], second["message"]) == ("info@x.example.com", "Inc", None)
    (event,) = events(client, first["id"])
    assert (event["type"], event["actor"], event["data"]) == ("lead.created", None, first)
    assert body(client.get("/leads?source=fair"))["total"] == 1


def test_unknown_columns_become_attributes_and_map_names_the_others(bring_in: Import, client: FlaskClient) -> None:
    result = bring_in(
        "Name,Mail,Phone,utm,Secret,a=b,attributes\n"
        f'{MARKER},z@example.com,+1 555,spring,x,c,"{{""k"": ""v""}}"\n{MARKER},y@example.com,,,,,\n',
        *("--map", "Name=full_name", "--map", "mail=email", "--map", "utm=attributes.utm_source"),
        *("--map", "secret=-", "--map", "a=b=company"),
    )

    assert result.exit_code == 0, result.output
    first, second = leads(client)
    assert first["attributes"] == {"k": "v", "Phone": "+1 555", "utm_source": "spring"}
    assert first["company"] == "c"
    assert second["attributes"] == {}


def test_attributes_of_a_column_are_put_together_with_those_of_others(bring_in: Import, client: FlaskClient) -> None:
    content = (
        "full_name,email,attributes,Phone\n"
        f"{MARKER},a@example.com,null,+1\n"
        f'{MARKER},b@example.com,"{{""Phone"":""+2"",""a"":""b""}}",\n'
        f'{MARKER},c@example.com,"{{""Phone"":""+2""}}",+3\n'
    )

    first = bring_in(content)
    bring_in(f"full_name,email,attributes\n{MARKER},a@example.com,null\n", "--on-duplicate", "merge", name="next.csv")

    assert "stored 2, merged 0, ignored 0, refused 1 of 3" in first.stdout
    assert [lead["attributes"] for lead in leads(client)] == [{"Phone": "+1"}, {"Phone": "+2", "a": "b"}]


def test_takes_what_became_of_a_lead_elsewhere(bring_in: Import, client: FlaskClient) -> None:
    bring_in(
        "id,full_name,email,status,created_at,updated_at\n"
        f"77,{MARKER},a@example.com,qualified,2020-01-01T10:00:00+02:00,2021-01-01T10:00:00.5Z\n"
        f"78,{MARKER},b@example.com,,,2021-01-01T10:00:00Z\n"
    )

    first, second = leads(client)
    assert first["id"] < 77
    assert (first["status"], first["attributes"]) == ("qualified", {})
    assert (first["created_at"], first["updated_at"]) == ("2020-01-01T08:00:00Z", "2021-01-01T10:00:00Z")
    assert (second["status"], second["created_at"]) == ("new", "2021-01-01T10:00:00Z")
    (event,) = events(client, first["id"])
    assert event["data"] == first
    assert event["time"] > "2026"


def test_refused_rows_can_be_corrected_and_imported_again(bring_in: Import, client: FlaskClient, file: Path) -> None:
    content = (
        "full_name;email;note;error\r\n"
        f'{MARKER};nobody;"a;\r\n""b""";email: wrong\r\n'
        f"{MARKER};a@example.com;;\r\n{MARKER};A@EXAMPLE.com;=1+1;\r\n{MARKER}\r\n"
        "Z;z@example.com;;;5\r\n"
    )

    result = bring_in(content)

    refused = file.with_name("people.csv.refused.csv")
    assert result.exit_code == 1
    assert "stored 1, merged 0, ignored 0, refused 4 of 5 rows" in result.stdout
    assert str(refused) in result.stdout
    assert stat.S_IMODE(refused.stat().st_mode) == 0o600
    # Surplus cells of a row come after the reason, so that they are not read as one.
    extra = "Z;z@example.com;;The row has 4 cells, and the file has 3 columns.;5\r\n"
    assert refused.read_bytes().decode() == (
        "full_name;email;note;error\r\n"
        f'{MARKER};nobody;"a;\r\n""b""";email: Not a valid email address.\r\n'
        f"{MARKER};A@EXAMPLE.com;'=1+1;Lead with this email already exists.\r\n"
        f"{MARKER};;;email: Missing data for required field.\r\n" + extra
    )
    corrected = refused.read_bytes().decode().replace("nobody", "b@example.com").replace("A@EXAMPLE", "c@example")

    again = bring_in(corrected, name="corrected.csv")
    assert "stored 2, merged 0, ignored 0, refused 2" in again.stdout
    assert file.with_name("corrected.csv.refused.csv").read_bytes().decode().endswith(extra)
    assert [lead["attributes"] for lead in leads(client)] == [{}, {"note": 'a;\r\n"b"'}, {"note": "=1+1"}]


@pytest.mark.parametrize(("choice", "count"), [("merge", "merged 3, ignored 0"), ("ignore", "merged 0, ignored 3")])
def test_treats_repeats_as_is_wished(
    bring_in: Import, client: FlaskClient, stored_lead: StoredLead, choice: str, count: str
) -> None:
    stored = stored_lead(attributes={"a": "1"})
    content = (
        "full_name,email,message,status,created_at,phone\n"
        f"{MARKER} One,{stored['email'].upper()},first,contacted,2020-01-01T00:00:00Z,+1\n"
        f"{MARKER} Two,{stored['email']},,,,\n"
        f"{MARKER},new@example.com,,,,\n{MARKER} Three,NEW@example.com,third,,,\n"
    )

    result = bring_in(content, "--on-duplicate", choice)

    assert result.exit_code == 0, result.output
    assert f"stored 1, {count}, refused 0 of 4 rows" in result.stdout
    first, new = leads(client)
    history = events(client, stored["id"])
    assert [event["type"] for event in history] == ["lead.created", "lead.repeated", "lead.repeated"]
    assert history[1]["data"]["resolution"] == f"{choice}-duplicates"
    assert history[1]["data"]["sent"]["message"] == "first"
    assert history[1]["data"]["sent"]["created_at"] == "2020-01-01T00:00:00Z"
    assert [event["type"] for event in events(client, new["id"])] == ["lead.created", "lead.repeated"]
    if choice == "ignore":
        assert first == stored
        assert history[1]["data"]["changes"] == {}
    else:
        assert (first["full_name"], first["message"], first["status"]) == (f"{MARKER} Two", "first", "contacted")
        assert (first["company"], first["attributes"]) == (stored["company"], {"a": "1", "phone": "+1"})
        assert first["created_at"] == stored["created_at"]
        assert history[1]["data"]["changes"]["status"] == {"from": "new", "to": "contacted"}
        assert (new["full_name"], new["email"], new["message"]) == (f"{MARKER} Three", "NEW@example.com", "third")


def test_a_merge_that_is_too_much_is_refused(bring_in: Import, client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(attributes={f"a{number}": "1" for number in range(50)})

    result = bring_in(f"full_name,email,x\n{MARKER},{stored['email']},1\n", "--on-duplicate", "merge")

    assert result.exit_code == 1
    assert "attributes: A lead has at most 50 attributes, of 16 KiB together." in (
        Path(result.stdout.partition("rows are in ")[2].partition(". They")[0]).read_text()
    )
    assert leads(client) == [stored]


def test_a_dry_run_tells_what_would_happen_and_stores_nothing(
    bring_in: Import, client: FlaskClient, stored_lead: StoredLead, file: Path
) -> None:
    stored = stored_lead()
    content = (
        f"full_name,email\n{MARKER},{stored['email']}\n{MARKER},a@example.com\n{MARKER},A@example.com\n{MARKER},x\n"
    )
    refused = file.with_name("refused.csv")

    told = bring_in(content, "--dry-run", "--on-duplicate", "merge")
    listed = bring_in(content, "--dry-run", "--refused", str(refused))

    assert told.stdout.startswith(
        "Nothing was stored. An import would have: stored 1, merged 2, ignored 0, refused 1 of 4"
    )
    assert "stored 1, merged 0, ignored 0, refused 3 of 4" in listed.stdout
    assert (told.exit_code, listed.exit_code) == (1, 1)
    assert len(refused.read_text().splitlines()) == 4
    assert {path.name for path in file.parent.iterdir() if "refused" in path.name} == {"refused.csv"}
    assert leads(client) == [stored]


def test_ndjson_is_taken_without_loss(bring_in: Import, client: FlaskClient, new_lead: NewLead, file: Path) -> None:
    lead = new_lead(message="one\r\ntwo\u2028three", company="", attributes={"a": "'=1"})
    lines = [
        orjson.dumps(lead | {"status": "lost", "id": 5, "Phone": "+1", "x": None}),
        b"",
        b"[1]",
        b"{nonsense",
        DEEP,
        orjson.dumps({"full_name": MARKER, "email": "n@example.com", "age": 17}),
        orjson.dumps({"full_name": MARKER, "Full Name": MARKER, "email": "o@example.com"}),
    ]

    result = bring_in(b"\n".join(lines), name="people.ndjson")

    assert "stored 2, merged 0, ignored 0, refused 4 of 6" in result.stdout
    stored, other = leads(client)
    assert other["attributes"] == {"Full Name": MARKER}
    assert (
        stored.items()
        >= (lead | {"company": None, "status": "lost", "attributes": {"a": "'=1", "Phone": "+1"}}).items()
    )
    refused = [orjson.loads(line) for line in file.with_name("people.ndjson.refused.ndjson").read_bytes().splitlines()]
    assert [row["error"] for row in refused] == [
        "This line is not a JSON object.",
        "This line is not a JSON object.",
        "This line is not a JSON object.",
        "attributes.age: Must be a string of at most 2000 characters.",
    ]
    assert [row["line"] for row in refused[1:3]] == ["{nonsense", DEEP.decode()]
    assert refused[3] | {"error": ""} == {"full_name": MARKER, "email": "n@example.com", "age": 17, "error": ""}


def test_standard_input_is_read_once(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        content = f"full_name\temail\n{MARKER}\tz@example.com\n{MARKER}\tz@example.com\n"
        result, again = (app.test_cli_runner().invoke(args=["leads", "import", "-"], input=content) for _ in range(2))

    assert "stored 1, merged 0, ignored 0, refused 1 of 2" in result.stdout
    assert (tmp_path / "stdin.refused.csv").read_text().startswith("full_name\temail\terror")
    assert "stdin.refused.csv is there already." in again.stderr
    assert len(leads(client)) == 1


def test_a_pipe_is_read_once(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    pipe = tmp_path / "people.ndjson"
    os.mkfifo(pipe)
    line = orjson.dumps({"full_name": MARKER, "email": "z@example.com"})

    with ThreadPoolExecutor() as threads:
        threads.submit(pipe.write_bytes, line)
        result = app.test_cli_runner().invoke(args=["leads", "import", str(pipe)])

    assert "stored 1, merged 0, ignored 0, refused 0 of 1" in result.stdout
    assert len(leads(client)) == 1


def test_does_not_overwrite_rows_that_somebody_corrects(bring_in: Import, file: Path) -> None:
    content = f"full_name,email\n{MARKER},nobody\n"
    bring_in(content)

    again = bring_in(content)
    looked = bring_in(content, "--dry-run", "--refused", f"{file}.refused.csv")
    file.with_name("people.csv.refused.csv").unlink()
    after = bring_in(content)

    for result in (again, looked):
        assert result.exit_code == 1
        assert "people.csv.refused.csv is there already." in result.stderr
    assert "refused 1 of 1" in after.stdout


@pytest.mark.usefixtures("own_app")
def test_what_the_database_refuses_is_told_without_what_people_wrote(bring_in: Import, app: Flask) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(db.text("CREATE UNIQUE INDEX uq_leads_full_name ON leads (full_name)"))

    result = bring_in(f"full_name,email\n{MARKER},z@example.com\n{MARKER},y@example.com\n")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The database refused it: ")
    assert MARKER not in result.output


def test_says_when_the_schema_is_not_current(own_app: None, app: Flask, bring_in: Import) -> None:
    app.config["AUTO_MIGRATE"] = False
    with app.app_context(), storage.write() as tx:
        tx.execute(db.text("UPDATE alembic_version SET version_num = '0001'"))

    result = bring_in("full_name,email\n")

    assert result.exit_code == 1
    assert "flask db upgrade" in result.stderr
