"""flask leads import: statuses and times of other products, and texts that a spreadsheet would run."""

import csv
import io
import re
from pathlib import Path

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from conftest import MakeApp, StoredLead, body
from leadapi.leads.transfer.formulas import FIRST, escape_formula, unescape_formula
from leadapi.leads.transfer.values import read_time
from leadapi.storage import now

CASES = Path(__file__).parent / "cases"


def download(client: FlaskClient, query: str = "") -> bytes:
    with client.get(f"/leads/export{query}") as response:
        return bytes(response.data)


def test_times_are_understood_or_become_attributes(app: Flask, client: FlaskClient) -> None:
    result = app.test_cli_runner().invoke(args=["leads", "import", str(CASES / "dates.csv")])

    assert result.exit_code == 0, result.output
    assert "Some values of 'created_at', such as '2026-05-04', are not a time with a zone" in result.stderr
    leads = body(client.get("/leads"))["items"]
    today = f"{now():%Y-%m-%d}"
    assert [lead["attributes"].get("created_at") or lead["created_at"] for lead in leads] == [
        "2026-05-04",
        "2026-05-04 09:12:31",
        "2026-05-04T09:12:31Z",
        "2026-05-04T09:12:31Z",
        "2026-05-04T09:12:00Z",
        "2026-05-04T09:12:31Z",
        "2026-05-04T09:12:31Z",
        "1777886000",
        "2026-05-05T00:00:00Z",
        "2016-12-31T23:59:59Z",
        "2026-05-04T03:42:31Z",
        "2026-05-04T09:12:31Z",
    ]
    assert leads[0]["created_at"] >= today


@pytest.mark.parametrize(
    ("text", "is_utc", "time"),
    [
        ("2026/05/04 9:12:31 PM GMT+2", False, "2026-05-04T19:12:31Z"),
        ("2026-05-04 12:00 am utc", False, "2026-05-04T00:00:00Z"),
        ("2026-05-04 09:12:31.5 -0530", False, "2026-05-04T14:42:31Z"),
        ("2026-05-04T09:12:31", True, "2026-05-04T09:12:31Z"),
        ("2026-05-04T09:12:31", False, None),
        ("04/05/2026 09:12 UTC", False, None),
        ("2026-05-04 13:00 pm UTC", False, None),
        ("2026-05-04T09:12:61Z", False, None),
        ("2026-13-04T09:12:31Z", False, None),
        ("2026-05-04T24:00:01Z", False, None),
        ("2026-05-04T09:12:31+99:00", False, None),
        ("0001-01-01T00:00:00+14:00", False, None),
        ("0999-01-01T00:00:00Z", False, "0999-01-01T00:00:00Z"),
    ],
)
def test_reads_times(text: str, is_utc: bool, time: str | None) -> None:  # a parameter of the test
    assert read_time(text, is_utc=is_utc) == time


def test_statuses_are_understood_in_any_case_or_become_attributes(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("Full Name,Email,Status\nZo,z@example.com,Open - Not Contacted\nZo,y@example.com,LOST\n")

    result = app.test_cli_runner().invoke(args=["leads", "import", str(CASES / "status-case.csv")])
    told = app.test_cli_runner().invoke(args=["leads", "import", str(foreign)])

    assert (result.exit_code, result.stderr, told.exit_code) == (0, "", 0)
    assert told.stderr == (
        "Some values of 'Status', such as 'Open - Not Contacted', are not a status of a lead and become attributes.\n"
    )
    leads = body(client.get("/leads"))["items"]
    assert [lead["status"] for lead in leads] == ["new", "qualified", "new", "new", "new", "lost"]
    assert [lead["attributes"] for lead in leads[4:]] == [{"Status": "Open - Not Contacted"}, {}]


def test_an_empty_text_is_null_at_every_door(
    app: Flask, client: FlaskClient, sqlite_app: MakeApp, tmp_path: Path
) -> None:
    first = app.test_cli_runner().invoke(args=["leads", "import", str(CASES / "roundtrip-empty-vs-null.ndjson")])
    path = tmp_path / "leads.csv"
    app.test_cli_runner().invoke(args=["leads", "export", "-o", str(path)])
    other = sqlite_app()

    second = other.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert (first.exit_code, second.exit_code, second.stderr) == (0, 0, "")
    leads = [body(each.get("/leads"))["items"] for each in (client, other.test_client())]
    assert leads[0] == leads[1]
    assert leads[0][0].items() >= {"company": None, "message": None, "source": None, "attributes": {"  ": "sp"}}.items()


TEXTS = st.text(alphabet=f"'\"; \u3000\r\n{FIRST}ab")


@given(TEXTS)
def test_the_escape_of_formulas_is_reversible(value: str) -> None:
    cell = escape_formula(value)

    assert unescape_formula(cell) == value
    assert not cell.startswith(("\r", "\n"))
    assert all(not part.lstrip('" \u3000').startswith(tuple(FIRST)) for part in re.split(r"[;\r\n]", cell))


@pytest.mark.parametrize(
    "message",
    [
        *("\n=1", "＝1", "＋1", "－1", "＠A1", "a;=1", " =1", "\u3000@A1"),
        *("a;  -1", '" "=1', "a\r\n@A1", '"\n"=1', 'a;"=1"', ";;-1", "a;＝1"),
    ],
)
def test_no_spreadsheet_runs_a_cell(
    client: FlaskClient, stored_lead: StoredLead, sqlite_app: MakeApp, tmp_path: Path, message: str
) -> None:
    lead = stored_lead(message=message)
    text = download(client).decode()
    (tmp_path / "leads.csv").write_text(text, newline="")
    other = sqlite_app()

    other.test_cli_runner().invoke(args=["leads", "import", str(tmp_path / "leads.csv")])

    for separator in ",;":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            assert not [cell for cell in row if cell.lstrip().startswith(tuple(FIRST))]
    assert body(other.test_client().get("/leads"))["items"] == [lead | {"id": 1}]


def test_csv_has_a_byte_order_mark_if_asked(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead(full_name="Zoé")
    plain = download(client)

    marked = download(client, "?bom=1")
    command = app.test_cli_runner().invoke(args=["leads", "export", "--bom"])

    assert marked == command.stdout_bytes == b"\xef\xbb\xbf" + plain
    assert download(client, "?bom=0") == plain
    assert orjson.loads(download(client, "?bom=1&format=ndjson"))["full_name"] == "Zoé"
    assert client.get("/leads/export?bom=yes").status_code == 422
