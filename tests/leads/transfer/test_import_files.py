"""flask leads import: which files are understood, and what is said about others."""

import codecs
import io
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import Result
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from conftest import MARKER, MakeApp, body
from leadapi.leads.transfer.checks import ImportedLeadSchema, check
from leadapi.leads.transfer.errors import RowError
from leadapi.leads.transfer.refused import RefusedRows
from leadapi.leads.transfer.tables import Table

ROW = {"full_name": f"{MARKER} Dée", "email": "z@example.com", "message": 'one\r\n"two"; three'}
TEXT = 'full_name;email;message\r\n\r\nzebedee Dée;z@example.com;"one\r\n""two""; three"\r\n;;\r\n\r\n'


class Importer:
    """An app that files are imported into."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app = app
        self.path = folder / "people.csv"

    def __call__(self, content: bytes, *options: str) -> Result:
        self.path.write_bytes(content)
        return self.app.test_cli_runner().invoke(args=["leads", "import", str(self.path), *options])


@pytest.fixture
def bring_in(sqlite_app: MakeApp, tmp_path: Path) -> Importer:
    """Run the command; what is given is the file's content."""
    return Importer(sqlite_app(), tmp_path)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (TEXT.encode(), []),
        (codecs.BOM_UTF8 + TEXT.encode(), []),
        (TEXT.replace(";", "\t").replace("\t three", "; three").encode("utf-16"), []),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), ["--encoding", "cp1252"]),
        (TEXT.encode("cp1252"), ["--encoding", "cp1252"]),
        (("sep=;\r\n" + TEXT).encode(), []),
        (("sep=|\r\n" + TEXT.replace(";", "|").replace("| three", "; three")).encode(), []),
        (b'"full_name, all of it",email,message\n"zebedee D\xc3\xa9e",z@example.com,"one\r\n""two""; three"',
         ["--map", "full_name, all of it=full_name"]),
        ((TEXT.replace("full_name", '"full_name, if any, of it"')).encode(),
         ["--map", "full_name, if any, of it=full_name"]),
        (b'{"full_name":"zebedee D\xc3\xa9e","email":"z@example.com","message":"one\\r\\n\\"two\\"; three"}\n', []),
    ],
    ids=["utf-8", "bom", "utf-16", "utf-16-be", "cp1252", "sep", "sep-other", "quoted", "quoted other", "ndjson"],
)  # fmt: skip
def test_understands_what_spreadsheets_write(bring_in: Importer, content: bytes, options: list[str]) -> None:
    if content.startswith(b"{"):
        bring_in.path = bring_in.path.with_name("people")

    result = bring_in(content, *options)

    assert result.exit_code == 0, result.output
    (lead,) = body(bring_in.app.test_client().get("/leads"))["items"]
    assert lead.items() >= ROW.items()


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"", [], "The file is empty."),
        (b"\r\n\r\n", [], "The file is empty."),
        (b'full_name,email\nZo,a@example.com\n"Zo"e,z@example.com\n', [], "Line 3 cannot be read as CSV"),
        (b'full_name,email\nZo,a@example.com\n"Zoe,z@example.com\n', [], "Line 3 cannot be read as CSV"),
        (b"full_name,email" + b",x" * 99 + b"\n", [], "The file has 101 columns, and at most 100 can be imported."),
        (b"full_name,email,x\n", ["--map", "x=attributes.\udcff"], "There is no field"),
        (b"full_name,email\n", ["--encoding", "rot13"], "'rot13' is not a known encoding."),
        (b"full_name,phone\n", [], "No column is email. Name one: --map COLUMN=email"),
        (b"full_name,email\n", ["--map", "mail=email"], "--map names a column that the file does not have: 'mail'."),
        (b"full_name,email\n", ["--map", "email=mail"], "There is no field 'mail'"),
        (b"full_name,email\n", ["--map", "email"], "'email' is not COLUMN=FIELD."),
        (b"full_name,email\n", ["--encoding", "klingon"], "'klingon' is not a known encoding."),
    ],
)
def test_says_what_is_wrong_with_a_file_before_anything_is_stored(
    bring_in: Importer, content: bytes, options: list[str], said: str
) -> None:
    result = bring_in(content, *options)

    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert body(bring_in.app.test_client().get("/leads"))["total"] == 0
    assert [path.name for path in bring_in.path.parent.iterdir()] == ["people.csv"]


def test_takes_the_longest_cell_that_a_lead_can_have(bring_in: Importer) -> None:
    attributes = {str(number): "\x01" * 400 for number in range(6)}
    cell = orjson.dumps(attributes).decode().replace('"', '""')

    result = bring_in(f'full_name,email,attributes\n{MARKER},z@example.com,"{cell}"\n'.encode())

    assert result.exit_code == 0, result.output
    (lead,) = body(bring_in.app.test_client().get("/leads"))["items"]
    assert lead["attributes"] == attributes


def test_refused_rows_are_not_written_where_a_link_leads(bring_in: Importer, tmp_path: Path) -> None:
    (tmp_path / "people.csv.refused.csv").symlink_to(tmp_path / "elsewhere")

    result = bring_in(f"full_name,email\n{MARKER},nobody\n".encode())

    assert result.exit_code == 1
    assert "people.csv.refused.csv" in result.output
    assert not (tmp_path / "elsewhere").exists()


def test_refused_rows_that_are_written_again_leave_nothing_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "refused.csv"
    with closing(RefusedRows(path, Table(io.BytesIO(b"full_name\n"), format="csv", encoding="utf-8"))) as refused:
        refused.add([([MARKER], "it is wrong")] * 2, 0)
        size = refused.add([([MARKER], "it is wrong")], 0)

    assert path.read_bytes() == f"full_name,error\r\n{MARKER},it is wrong\r\n".encode()
    assert size == path.stat().st_size


def test_a_file_of_refused_rows_of_another_encoding_can_be_imported_in_the_same_way(bring_in: Importer) -> None:
    bring_in("full_name,email\nZoé,nobody\n".encode("cp1252"), "--encoding", "cp1252")
    refused = bring_in.path.with_name("people.csv.refused.csv").read_bytes()

    again = bring_in(refused.replace(b"nobody", b"z@example.com"), "--encoding", "cp1252", "--refused", "/dev/null/x")

    assert again.exit_code == 0, again.output
    assert body(bring_in.app.test_client().get("/leads"))["items"][0]["full_name"] == "Zoé"


@pytest.mark.parametrize("separator", ["|", ";"])
def test_a_file_of_refused_rows_says_its_separator_where_its_columns_do_not(bring_in: Importer, separator: str) -> None:
    header = "full_name|email|a, b, c, d, e".replace("|", separator)
    content = f"sep={separator}\n{header}\nZoe|nobody|1\nAda|nobody|2\n".replace("|", separator)
    bring_in(content.encode())
    refused = bring_in.path.with_name("people.csv.refused.csv").read_bytes()

    again = bring_in(
        refused.replace(b"nobody", b"z@example.com", 1), "--refused", str(bring_in.path.with_name("r.csv"))
    )

    assert "stored 1, merged 0, ignored 0, refused 1 of 2" in again.stdout, again.output


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    "ab \t\n\x00\x7f\x85\xa0\u3000é", max_size=5
)
DOMAINS = st.sampled_from(
    ["example.com", "EXAMPLE.com", "x.test", "bücher.de", "xn--bcher-kva.de", "localhost", "a_b.com", "[1.2.3.4]"]
) | st.from_regex(r"[A-Za-z0-9.-]{1,12}", fullmatch=True)
LOCALS = st.sampled_from(["info", "INFO", "Postmaster", "a" * 64, "a" * 65, "a..b", '"a b"']) | st.from_regex(
    r"[A-Za-z0-9._+'!é -]{1,10}", fullmatch=True
)
TIMES = st.sampled_from(
    ["2020-01-01T00:00:00Z", "2020-01-01t00:00:00.9+02:00", "2020-01-01T00:30:00Z", "2020-13-01T00:00:00Z", "now"]
)
ATTRIBUTES = st.dictionaries(NAMES | st.just("n" * 101), NAMES | st.just("v" * 2001) | st.none(), max_size=3) | st.just(
    {str(number): "" for number in range(51)}
)
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    "full_name": NAMES | st.sampled_from(["n" * 255, "n" * 256]),
    "email": st.builds("{}@{}".format, LOCALS, DOMAINS) | NAMES,
    "company": NAMES | st.sampled_from(["c" * 255, "c" * 256]) | st.just(17),
    "message": NAMES | st.sampled_from(["m" * 2000, "m" * 2001, "a\r\nb", "a\rb", "a\tb"]),
    "source": NAMES | st.sampled_from(["s" * 100, "s" * 101]),
    "status": st.sampled_from(["new", "lost", "New", ""]) | st.just([]),
    "attributes": ATTRIBUTES | NAMES,
    "created_at": TIMES,
    "updated_at": TIMES,
}


# All but one field is good, so that this one decides.
ONE_ODD = [
    st.fixed_dictionaries({"full_name": st.just("Zo"), "email": st.just("z@example.com")} | {name: values})
    for name, values in FIELDS.items()
]


def loaded(fields: dict[str, object]) -> dict[str, object] | None:
    """The fields as the schema loads them; None if it refuses them."""
    try:
        lead: dict[str, object] = ImportedLeadSchema().load(fields)
    except ValidationError:
        return None
    return lead


def checked(fields: dict[str, object]) -> dict[str, object] | None:
    """The fields as the import takes them; None if it refuses them."""
    try:
        return check(fields)
    except RowError:
        return None


# Drawing from Unicode is slow the first time.
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(*ONE_ODD, st.fixed_dictionaries({}, optional=FIELDS)))
def test_a_row_is_judged_as_the_schema_judges_it(fields: dict[str, object]) -> None:
    assert checked(fields) == loaded(fields)


def test_the_schema_says_what_is_wrong_with_each_field() -> None:
    with pytest.raises(RowError, match=r"^full_name: Length must be between 2 and 255\. status: Must be one of: new, "):
        check({"full_name": "Z", "email": "z@example.com", "status": "old"})
