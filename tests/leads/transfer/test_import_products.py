"""flask leads import: the files of other products go in without options."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MakeApp, body

CASES = Path(__file__).parent / "cases"

EXPORTS: dict[str, dict[str, Any]] = {
    "facebook-question.csv": {
        "full_name": "Quinn Exemplar",
        "email": "quinn@example.com",
        "created_at": "2026-05-05T14:12:31Z",
        "attributes.what_is_your_monthly_budget_for_this_project?": "500_-_1000",
        "attributes.phone_number": "p:+15550101",
    },
    "google-ads.csv": {
        "full_name": "Gale Exemplar",
        "email": "gale@example.com",
        "company": "Gale Co",
        "created_at": "2026-05-04T12:30:00Z",
        "attributes.Lead ID": "TeSter-1",
    },
    "googleforms.csv": {
        "full_name": "Gus Exemplar",
        "email": "gf@example.com",
        "message": "none",
        "created_at": "2026-05-04T07:12:31Z",
        "attributes.Which session(s) would you like to attend? (choose all that apply)": "Morning;Evening",
    },
    "linkedin.csv": {
        "full_name": "Lina Exemplar",
        "email": "lina@example.com",
        "company": "Exemplar Ltd",
        "created_at": "2026-05-04T09:12:31Z",
        "attributes.Job Title": "CTO",
    },
    "mailchimp.csv": {
        "full_name": "Mia Exemplar",
        "email": "mia@example.com",
        "attributes.CONFIRM_TIME": "2026-05-04 09:12:31",
        "attributes.TAGS": '"fair","2026"',
    },
    "wpforms.csv": {
        "full_name": "Will Exemplar",
        "email": "will@example.com",
        "message": "Hi",
        "attributes.Entry Date": "May 4, 2026 9:12 am",
    },
}
# Invented rows in the shape of further products.
MORE_EXPORTS: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "typeform": (
        (
            "#,What's your name?,Reach you at?,Start Date (UTC),Submit Date (UTC),Network ID\n"
            "ab12,Tia Exemplar,tia@example.com,2026-05-04 09:10:00,2026-05-04 09:12:31,n1\n"
        ),
        {"full_name": "Tia Exemplar", "email": "tia@example.com", "created_at": "2026-05-04T09:12:31Z"},
    ),
    "calendly": (
        (
            "Event Type Name,Start Date & Time,Invitee Name,Invitee First Name,Invitee Last Name,Invitee Email,Guests\n"
            "Demo,2026-05-05 10:00 am,Cal Exemplar,Cal,Exemplar,cal@example.com,\n"
        ),
        {"full_name": "Cal Exemplar", "email": "cal@example.com", "attributes.Event Type Name": "Demo"},
    ),
    "zoho": (
        (
            "Record Id,Lead Owner,Company,First Name,Last Name,Email,Phone,Lead Source,Lead Status,Created Time\n"
            "zcrm_1,Sal,Zed GmbH,Zoe,Exemplar,zoe@example.com,1,Trade Show,Attempted to Contact,2026-05-04 09:12:31\n"
        ),
        {
            "full_name": "Zoe Exemplar",
            "company": "Zed GmbH",
            "source": "Trade Show",
            "status": "new",
            "attributes.Lead Status": "Attempted to Contact",
            "attributes.Created Time": "2026-05-04 09:12:31",
        },
    ),
    "pipedrive": (
        ("Person - Name;Person - Email - Work;Organization - Name;Label\nPip Exemplar;pip@example.com;Pip AB;Hot\n"),
        {
            "full_name": "Pip Exemplar",
            "email": "pip@example.com",
            "company": "Pip AB",
            "attributes.Label": "Hot",
        },
    ),
    "gravity forms": (
        (
            "Name (First),Name (Last),Email,Comments,Entry Date,Source Url,User Agent\n"
            "Gia,Exemplar,gia@example.com,Hello,2026-05-04 09:12:31,https://example.com/,Mozilla\n"
        ),
        {"full_name": "Gia Exemplar", "email": "gia@example.com", "message": "Hello"},
    ),
    "eventbrite": (
        (
            "Order #,Order Date,First Name,Surname,Email,Quantity,Ticket Type,Attendee #\n"
            "99,2026-05-04 09:12:31,Eve,Exemplar,eve@example.com,1,Free,7\n"
        ),
        {"full_name": "Eve Exemplar", "email": "eve@example.com", "attributes.Order #": "99"},
    ),
    "shopify": (
        (
            "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Phone,Note,Tags\n"
            "'7001,Shea,Exemplar,shea@example.com,yes,Shea Ltd,'+15550151,Asked for a catalogue,\"fair, 2026\"\n"
        ),
        {"full_name": "Shea Exemplar", "email": "shea@example.com", "attributes.Phone": "+15550151"},
    ),
    "brevo": (
        (
            "ID;EMAIL;LASTNAME;FIRSTNAME;SMS;LIST_IDS;ADDED_TIME;MODIFIED_TIME\n"
            "7;bree@example.com;Exemplar;Bree;4915550100;3,4;04-05-2026 09:12:31;04-05-2026 09:12:31\n"
        ),
        {"full_name": "Bree Exemplar", "email": "bree@example.com", "attributes.ADDED_TIME": "04-05-2026 09:12:31"},
    ),
    "activecampaign": (
        (
            "Contact ID,Email,First Name,Last Name,Phone,Tags,Date Created,Date Updated,IP Address\n"
            '12,ace@example.com,Ace,Exemplar,1,"fair,2026",2026-05-04 04:12:31,2026-05-04 04:13:00,192.0.2.7\n'
        ),
        {"full_name": "Ace Exemplar", "attributes.Contact ID": "12", "attributes.Date Created": "2026-05-04 04:12:31"},
    ),
    "jotform": (
        (
            "Submission Date,First Name,Last Name,E-mail,Phone Number,Your Message,Submission IP,Submission ID\n"
            '"May 4, 2026",Jo,Exemplar,jo@example.com,(555) 010-0153,Please call,192.0.2.8,600001\n'
        ),
        {"full_name": "Jo Exemplar", "message": "Please call", "attributes.Submission Date": "May 4, 2026"},
    ),
    "klaviyo": (
        (
            "Email,Klaviyo ID,First Name,Last Name,Organization,Title,Source,Profile Created On\n"
            "kay@example.com,01HX,Kay,Exemplar,Kay BV,Buyer,Website form,2026-05-04 09:12:31+00:00\n"
        ),
        {
            "full_name": "Kay Exemplar",
            "company": "Kay BV",
            "source": "Website form",
            "created_at": "2026-05-04T09:12:31Z",
        },
    ),
    "hubspot": (
        (
            "Record ID,First Name,Last Name,Email,Contact owner,Lead Status,Create Date,Associated Company,Message\n"
            "51,Hal,Exemplar,hal@example.com,Sal,In progress,2026-05-04 09:12,Hal Inc,Hello\n"
        ),
        {
            "full_name": "Hal Exemplar",
            "company": "Hal Inc",
            "message": "Hello",
            "attributes.Lead Status": "In progress",
            "attributes.Record ID": "51",
        },
    ),
    "meta, in german": (
        (
            "id\tcreated_time\tform_name\tvorname\tnachname\te-mail-adresse\ttelefonnummer\tunternehmen\tlead_status\n"
            "l:1\t2026-05-04T11:12:31+02:00\tFrühling\tJürgen\tBeispiel\tjuergen@example.com\tp:+49155\tBeispiel GmbH"
            "\tCREATED\n"
        ).encode("utf-16"),
        {
            "full_name": "Jürgen Beispiel",
            "email": "juergen@example.com",
            "company": "Beispiel GmbH",
            "created_at": "2026-05-04T09:12:31Z",
            "attributes.form_name": "Frühling",
        },
    ),
    "meta, in french": (
        (
            "id\tcreated_time\tnom_complet\tadresse_e-mail\tnom_de_l’entreprise\n"
            "l:1\t2026-05-04T11:12:31+0200\tZoé Exemple\tzoe.fr@example.com\tExemple SA\n"
        ).encode("utf-16"),
        {"full_name": "Zoé Exemple", "email": "zoe.fr@example.com", "company": "Exemple SA"},
    ),
    "excel, in german": (
        (
            "Anrede;Vorname;Nachname;Firma;E-Mail;Straße;Nachricht;Datum\r\n"
            "Herr;Jürgen;Müller-Strauß;Bäckerei;jm@example.com;Höhe 1;„Angebot“ für 100 €;04.05.2026 09:12\r\n"
        ).encode("cp1252"),
        {
            "full_name": "Jürgen Müller-Strauß",
            "company": "Bäckerei",
            "message": "„Angebot“ für 100 €",
            "attributes.Straße": "Höhe 1",
        },
    ),
    "google contacts": (
        (
            "First Name,Middle Name,Last Name,Organization Name,Notes,E-mail 1 - Label,E-mail 1 - Value\n"
            "Goo,,Exemplar,Goo Oy,met,* Work,goo@example.com\n"
        ),
        {"full_name": "Goo Exemplar", "email": "goo@example.com", "company": "Goo Oy", "attributes.Notes": "met"},
    ),
    "typeform, in german": (
        (
            "#,Wie heißt du?,Deine E-Mail-Adresse?,Submit Date (UTC)\n"
            "ab12,Tia Beispiel,tia.de@example.com,2026-05-04 09:12:31\n"
        ),
        {"full_name": "Tia Beispiel", "email": "tia.de@example.com", "created_at": "2026-05-04T09:12:31Z"},
    ),
    "microsoft forms": (
        (
            "ID,Start time,Completion time,Email,Name,Your full name,Your e-mail address,Company\n"
            "1,5/4/26 9:10:00,5/4/26 9:12:31,anonymous,,Mia Exemplar,mia.forms@example.com,Mia Co\n"
        ),
        {"full_name": "Mia Exemplar", "email": "mia.forms@example.com", "company": "Mia Co"},
    ),
}


def flat(lead: dict[str, Any]) -> dict[str, Any]:
    """The lead with one entry per attribute."""
    return lead | {f"attributes.{name}": value for name, value in lead["attributes"].items()}


def leads(client: FlaskClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = body(client.get("/leads"))["items"]
    return items


@pytest.mark.parametrize("name", EXPORTS)
def test_the_file_of_another_product_needs_no_options(app: Flask, client: FlaskClient, name: str) -> None:
    result = app.test_cli_runner().invoke(args=["leads", "import", str(CASES / name)])

    assert result.exit_code == 0, result.output
    first, *rest = leads(client)
    assert flat(first).items() >= EXPORTS[name].items()
    assert [lead["full_name"] for lead in rest] == (["Li Wei"] if name == "linkedin.csv" else [])


@pytest.mark.parametrize("name", MORE_EXPORTS)
def test_further_products_need_no_options_either(sqlite_app: MakeApp, tmp_path: Path, name: str) -> None:
    content, expected = MORE_EXPORTS[name]
    path = tmp_path / "export.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    app = sqlite_app()

    result = app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert result.exit_code == 0, result.output
    assert flat(leads(app.test_client())[0]).items() >= expected.items()
