"""flask leads import: the fields that the columns of other products stand for."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import Result
from flask import Flask

from conftest import MakeApp, body
from leadapi.leads.aliases import field_of_column
from leadapi.leads.models import IMPORTED

CASES = Path(__file__).parent / "cases"
LONG = "Would you tell us in one sentence " * 3 + "why?"
TWO = "full_name,email\nZo,z@example.com\n"


class Importer:
    """An app and a folder for files that are imported into it."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app, self.folder = app, folder

    def __call__(self, content: str | bytes, *options: str, name: str = "people.csv") -> Result:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.app.test_cli_runner().invoke(args=["leads", "import", str(path), *options])

    def leads(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = body(self.app.test_client().get("/leads?limit=100"))["items"]
        return items


@pytest.fixture
def bring_in(sqlite_app: MakeApp, tmp_path: Path) -> Importer:
    """Import a file with the given content into an empty database."""
    return Importer(sqlite_app(), tmp_path)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Email Address", "email"),
        ("E-mail Address", "email"),
        ("[user] email", "email"),
        ("User Email", "email"),
        ("WORK_EMAIL", "email"),
        ("Name", "full_name"),
        ("Your-Name", "full_name"),
        ("(Your) Name", "full_name"),
        ("Company Name", "company"),
        ("Company / Account", "company"),
        ("Lead Source", "source"),
        ("Comments", "message"),
        ("Lead Status", "status"),
    ],
)
def test_case_spaces_and_punctuation_do_not_matter(bring_in: Importer, header: str, field: str) -> None:
    values = {
        "full_name": "Zo",
        "email": "z@example.com",
        "company": "A",
        "source": "A",
        "message": "A",
        "status": "lost",
    }
    names = {"full_name": "full_name", "email": "email"} | {field: header}

    result = bring_in(f"{','.join(names.values())}\n{','.join(values[name] for name in names)}\n", "--dry-run")
    bring_in(f"{','.join(names.values())}\n{','.join(values[name] for name in names)}\n")

    assert f"Guessed from the columns: {header!r} is {field}." in result.stderr
    assert bring_in.leads()[0][field] == values[field]


@pytest.mark.parametrize("field", IMPORTED)
def test_the_name_of_a_field_is_understood_in_every_spelling(field: str) -> None:
    assert field_of_column(f"{field.replace('_', ' ').title()}:") == field


def test_guesses_are_told_before_anything_is_stored(bring_in: Importer) -> None:
    result = bring_in((CASES / "linkedin.csv").read_bytes(), "--dry-run")

    assert result.stderr == (
        "Guessed from the columns: 'Submitted At (UTC)' is created_at, 'Email Address' is email, 'Company Name' is"
        " company, 'First Name' + 'Last Name' is full_name.\n"
    )
    assert bring_in.leads() == []


def test_an_ambiguous_choice_is_told(bring_in: Importer) -> None:
    result = bring_in("Name,Work Email,Email,Private Mail\nZo,w@example.com,z@example.com,p@example.com\n")

    assert "'Email' is taken as email. It could also be 'Work Email'" in result.stderr
    (lead,) = bring_in.leads()
    assert lead["email"] == "z@example.com"
    assert lead["attributes"] == {"Work Email": "w@example.com", "Private Mail": "p@example.com"}


def test_of_several_email_columns_one_with_addresses_is_taken(bring_in: Importer) -> None:
    result = bring_in("Name,Email,Your e-mail\nZo,anonymous,z@example.com\n")
    ndjson = bring_in('{"name":"Zo","email":"anonymous","work_email":"y@example.com"}\n', name="people.ndjson")

    assert "'Your e-mail' is taken as email. It could also be 'Email'" in result.stderr
    assert (result.exit_code, ndjson.exit_code) == (0, 0)
    assert [lead["email"] for lead in bring_in.leads()] == ["z@example.com", "y@example.com"]


def test_an_unknown_email_column_is_found_by_its_cells(bring_in: Importer) -> None:
    rows = "".join(f"Zo,reached via a@b,z{number}@example.com,\n" for number in range(5))

    result = bring_in(f"Name,How?,Where can we reach you?,Friend\n{rows}Zo,,none,f@example.com\n", "--map", "Friend=-")
    ndjson = bring_in('{"name":"Zo","reach":"y@example.com"}\n', name="people.ndjson")

    assert "'Where can we reach you?' is email" in result.stderr
    assert "stored 5, merged 0, ignored 0, refused 1 of 6" in result.stdout
    assert "'reach' is email" in ndjson.stderr
    assert ndjson.exit_code == 0


@pytest.mark.parametrize(
    ("header", "row", "name"),
    [
        ("First Name,Last Name", "Ada,Roe", "Ada Roe"),
        ("Last Name,First Name", "Roe,Ada", "Ada Roe"),
        ("Vorname,Name", "Ada,Roe", "Ada Roe"),
        ("Nome,Cognome", "Ada,Roe", "Ada Roe"),
        ("First Name,Last Name,Name", "Ada,Roe,x", "Ada Roe"),
        ("First Name,Last Name", " Ada ,", "Ada"),
        ("Last Name,x", "Roe,", "Roe"),
    ],
)
def test_first_and_last_name_are_joined(bring_in: Importer, header: str, row: str, name: str) -> None:
    result = bring_in(f"{header},email\n{row},z@example.com\n")

    assert result.exit_code == 0, result.output
    assert bring_in.leads()[0]["full_name"] == name


def test_names_are_joined_in_ndjson_too(bring_in: Importer) -> None:
    bring_in('{"First Name":"Ada","Last Name":"Roe","Email":"z@example.com"}\n', name="people.ndjson")

    assert bring_in.leads()[0]["full_name"] == "Ada Roe"


def test_map_joins_columns_and_takes_numbers(bring_in: Importer) -> None:
    result = bring_in(
        "Ruf,Titel,secret,mail,A+B\nAda,Dr.,x,z@example.com,c\n",
        *("--map", "Titel+Ruf=full_name", "--map", "#3=-", "--map", "A+B=company"),
    )

    assert result.exit_code == 0, result.output
    (lead,) = bring_in.leads()
    assert (lead["full_name"], lead["company"], lead["attributes"]) == ("Dr. Ada", "c", {})


@pytest.mark.parametrize(
    ("header", "options", "said"),
    [
        ("a,b", ["a=email", "b=email"], "--map names two columns for email. Join them: --map 'ONE+TWO=email'"),
        ("a,b", ["a=email", "#1=full_name"], "--map names column 1 twice."),
        ("a,b", ["#3=email"], "--map names a column that the file does not have: '#3'."),
        ("a b,a-b", ["ab=email"], "--map 'ab' stands for several columns. Use their numbers, such as #1."),
        ("full_name,email,x", ["full_name+y=company"], "does not have: 'y'."),
        ("full_name,email,x", ["x=attributes."], "There is no field 'attributes.'"),
        ("full_name" + ",x" * 5000, [], "There are 5,001 columns, more than 5,000."),
    ],
)
def test_says_what_is_wrong_with_map(bring_in: Importer, header: str, options: list[str], said: str) -> None:
    result = bring_in(f"{header}\n", *[part for option in options for part in ("--map", option)])

    assert result.exit_code == 1
    assert said in result.stderr


def test_columns_beyond_100_can_be_left_out(bring_in: Importer) -> None:
    content = (CASES / "cols-101.csv").read_bytes()

    refused = bring_in(content)
    taken = bring_in(content, "--map", "First=-", "--dry-run")

    assert "The file has 101 columns, and at most 100 can be imported. Leave some out with --map" in refused.stderr
    assert "columns" not in taken.stderr


def test_a_question_of_any_length_is_a_name(bring_in: Importer) -> None:
    result = bring_in(f"full_name,email,{LONG},{LONG} Or not?\nZo,z@example.com,a,b\n")

    assert f"The attribute for column 3 gets the name {LONG[:100]!r}." in result.stderr
    assert bring_in.leads()[0]["attributes"] == {LONG[:100]: "a", f"{LONG[:98]} 2": "b"}


def test_columns_of_one_name_are_told_apart(bring_in: Importer) -> None:
    result = bring_in((CASES / "dup-cols.csv").read_bytes())
    mapped = bring_in("Name,Email,Tel,Tel,Tel 2\nZo,z@example.com,1,2,3\n", "--map", "Tel 2=-", name="mapped.csv")

    assert "Several columns are 'Phone': one of them is read as 'Phone 2'." in result.stderr
    assert mapped.exit_code == 0, mapped.output
    first, second = bring_in.leads()
    assert first["attributes"] == {"Phone": "1", "Phone 2": "2"}
    assert second["attributes"] == {"Tel": "1", "Tel 2 2": "3"}


def test_columns_without_a_name_are_left_out(bring_in: Importer) -> None:
    content = (CASES / "empty-header.csv").read_bytes()

    result = bring_in(content)
    kept = bring_in(content.replace(b"pd", b"kept"), "--map", "#1=attributes.index", name="kept.csv")

    assert "Columns without a name are left out: #1. To keep one: --map '#1=attributes.NAME'" in result.stderr
    assert (result.exit_code, kept.exit_code) == (0, 0)
    assert [lead["attributes"] for lead in bring_in.leads()] == [{}, {}, {"index": "0"}, {"index": "1"}]


def test_missing_cells_at_the_end_are_empty(bring_in: Importer) -> None:
    result = bring_in((CASES / "excel-trailing.csv").read_bytes())
    longer = bring_in("full_name,email\nZo,z@example.com,,\nZo,y@example.com,,x\n", name="longer.csv")

    assert "stored 20, merged 0, ignored 0, refused 0 of 20" in result.stdout
    assert "stored 1, merged 0, ignored 0, refused 1 of 2" in longer.stdout


def test_rows_without_a_name_are_refused_one_by_one(bring_in: Importer) -> None:
    result = bring_in("First Name,Last Name,Email\nAda,Roe,a@example.com\n,,b@example.com\n")

    assert "stored 1, merged 0, ignored 0, refused 1 of 2" in result.stdout
    assert "full_name: Missing data" in (bring_in.folder / "people.csv.refused.csv").read_text()


def test_a_foreign_column_error_is_kept(bring_in: Importer) -> None:
    bring_in((CASES / "error-col.csv").read_bytes())
    bring_in("full_name,email,error\nZo,z@example.com,email: bounced\nZo,y@example.com,E42\n", name="lower.csv")
    bring_in('{"full_name":"Zo","email":"x@example.com","error":"E42"}\n', name="error.ndjson")

    assert [lead["attributes"] for lead in bring_in.leads()] == [
        {"Error": "E42 printer jam"},
        {"error": "email: bounced"},
        {"error": "E42"},
        {"error": "E42"},
    ]


def test_the_reasons_of_refused_rows_are_left_out(bring_in: Importer) -> None:
    bring_in('{"full_name":"Zo","email":"nobody"}\n', name="a.ndjson")
    refused = bring_in.folder / "a.ndjson.refused.ndjson"
    row = orjson.loads(refused.read_bytes())

    result = bring_in(orjson.dumps(row | {"email": "z@example.com"}), name="b.ndjson")

    assert row["error"] == "email: Not a valid email address."
    assert result.exit_code == 0
    assert bring_in.leads()[0]["attributes"] == {}


def test_false_and_0_are_no_texts(bring_in: Importer) -> None:
    result = bring_in('{"full_name":"Zo","email":"z@example.com","company":0}\n', name="a.ndjson")

    assert "refused 1 of 1" in result.stdout


def test_an_id_of_another_product_is_left_out_with_a_notice(bring_in: Importer) -> None:
    told = bring_in("id,full_name,email\nx9,Zo,z@example.com\n")
    kept = bring_in("id,full_name,email\nx9,Zo,y@example.com\n", "--map", "id=attributes.id", name="kept.csv")

    assert "The column 'id' is left out." in told.stderr
    assert kept.stderr == ""
    assert [lead["attributes"] for lead in bring_in.leads()] == [{}, {"id": "x9"}]
