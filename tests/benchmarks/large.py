"""Measures requests with very many leads on PostgreSQL, which SQL stores faster than imports do.

    .venv/bin/python tests/benchmarks/large.py --url postgresql://localhost/empty [--leads 10000000]

It needs an empty database, or one that it has filled before. 10,000,000 leads need 20 GB and half an hour. Where the
extension pg_trgm can be created, the texts of searches get their index after the rest.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import search
from flask import Flask
from sqlalchemy import Connection, create_engine, text

from leadapi import config, create_app
from leadapi.web.fields import Cursor

CHUNK = 250_000
ROUNDS = 20
# Triggers keep the totals, as for every insert. The texts and events are those that a capture writes.
FILL = text("""
    WITH given AS MATERIALIZED (
        SELECT i,
            initcap(pg_temp.word(i)) || ' ' || initcap(pg_temp.word(i / 7)) AS full_name,
            pg_temp.word(i) || '.' || i || '@' || pg_temp.word(i / 3) || '.example.com' AS email,
            CASE WHEN i % 3 > 0 THEN initcap(pg_temp.word(i / 5)) || ' Inc' END AS company,
            (SELECT string_agg(pg_temp.word((random() * 4912)::int + 0 * place), ' ')
                    FROM generate_series(1, 6 + i % 8) AS place)
                || CASE WHEN i % 7 = 0 THEN ' webinar' ELSE '' END
                || CASE WHEN i % 100000 = 77 THEN ' zeppelin' ELSE '' END AS message,
            CASE WHEN i % 10 > 0 THEN 'source-' || i % 13 END AS source,
            date_trunc('second', now() - interval '730 days' * (1 - i::float / :leads)) AS created_at,
            (ARRAY['new', 'contacted', 'qualified', 'converted', 'lost'])[1 + i % 5] AS status,
            json_build_object('phone', '+1 555 ' || i, 'page', '/' || pg_temp.word(i / 11), 'utm_medium', 'mail')
                AS attributes
        FROM generate_series(CAST(:first AS int), :last) AS i
    ), new AS (
        INSERT INTO leads (full_name, email, email_key, company, message, source, created_at, status, attributes,
            updated_at)
        SELECT full_name, email, email, company, message, source, created_at, status, attributes,
            CASE WHEN i % 4 = 0 THEN date_trunc('second', created_at + (now() - created_at) * random()) END
        FROM given ORDER BY i
        RETURNING id, full_name, email, company, message, source, created_at, attributes
    ), texts AS (
        INSERT INTO lead_search (lead_id, search_text)
        SELECT id, lower(concat_ws(chr(10), full_name, email, company, message, attributes::json->>'phone',
            attributes::json->>'page', attributes::json->>'utm_medium'))
        FROM new
    )
    INSERT INTO events (lead_id, type, created_at, data, announced)
    SELECT id, 'lead.created', created_at, row_to_json(new)::text, false FROM new
""")
WORD = """
    CREATE FUNCTION pg_temp.word(i int) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('{{{syllables}}}'::text[])[1 + i % {number}] || ('{{{syllables}}}'::text[])[1 + i / {number} % {number}]
        || ('{{{syllables}}}'::text[])[1 + i / {number} / {number} % {number}] $$
"""
INDEX = "ix_lead_search_search_text"
MORE = {
    "last page by cursor": "/leads?limit=50&after={last}",
    "last page by offset": "/leads?limit=50&offset={offset}",
    "list by email": "/leads?email={email}",
    "one lead": "/leads/{middle}",
    "its history": "/leads/{middle}/events",
}


def fill(url: str, leads: int) -> None:
    """Store leads of the last two years, with their texts and events."""
    engine = create_engine(config.load({"DATABASE_URL": url}).database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        started = time.perf_counter()
        connection.execute(text("SET maintenance_work_mem = '1GB'"))
        definition = connection.scalar(text("SELECT indexdef FROM pg_indexes WHERE indexname = :name"), {"name": INDEX})
        connection.execute(text(f"DROP INDEX IF EXISTS {INDEX}"))
        connection.execute(text(WORD.format(syllables=",".join(search.SYLLABLES), number=len(search.SYLLABLES))))
        connection.execute(text("SELECT setseed(0.5)"))
        for first in range(1, leads + 1, CHUNK):
            last = min(first + CHUNK - 1, leads)
            connection.execute(FILL, {"leads": leads, "first": first, "last": last})
            _tell(f"{last:,} leads", started)
        if definition:
            connection.exec_driver_sql(definition)
            _tell("index of texts", started)
        connection.execute(text("VACUUM ANALYZE"))
        _tell("vacuum", started)
        _check_totals(connection)
    engine.dispose()


def _tell(what: str, started: float) -> None:
    print(f"{what}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def _check_totals(connection: Connection) -> None:
    counted = connection.execute(text("SELECT status, count(*) FROM leads GROUP BY status ORDER BY status")).all()
    kept = connection.execute(
        text("""
            SELECT status, coalesce((SELECT sum(number) FROM lead_counts WHERE counted = 'status:' || status), 0)
                + (SELECT count(*) FROM leads AS late WHERE late.status = known.status
                    AND id > (SELECT number FROM lead_counts WHERE counted = 'mark'))
            FROM (SELECT DISTINCT status FROM leads) AS known ORDER BY status
        """)
    ).all()
    assert list(map(tuple, counted)) == list(map(tuple, kept)), (counted, kept)


def measure_writes(app: Flask) -> None:
    """The medians of captures, repeats, changes and erasures, which leave the leads as they were."""
    client = app.test_client()
    took: dict[str, list[float]] = {"POST": [], "POST, merged": [], "PATCH": [], "DELETE": []}
    for number in range(ROUNDS):
        lead = {"full_name": "John Doe", "email": f"john{number}@bench.example.com", "message": "A new webinar, please"}
        merging = {"Prefer": "resolution=merge-duplicates"}
        requests: list[tuple[str, str, str, dict[str, Any]]] = [
            ("POST", "POST", "/leads", {"json": lead}),
            ("POST, merged", "POST", "/leads", {"json": lead | {"company": "Example"}, "headers": merging}),
            ("PATCH", "PATCH", "/leads/{id}", {"json": {"status": "lost"}}),
            ("DELETE", "DELETE", "/leads/{id}", {}),
        ]
        lead_id = 0
        for name, method, path, options in requests:
            started = time.perf_counter()
            response = client.open(path.format(id=lead_id), method=method, **options)
            took[name].append(time.perf_counter() - started)
            assert response.status_code < 300, response.json
            lead_id = response.json["id"] if response.json else lead_id
    for name, seconds in took.items():
        print(f"| {name} | 1 | {statistics.median(seconds) * 1000:.1f} | {min(seconds) * 1000:.1f} |")


def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="a database of PostgreSQL")
    parser.add_argument("--leads", type=int, default=10_000_000)
    parser.add_argument("--only-fill", action="store_true")
    options = parser.parse_args()

    app = create_app({"DATABASE_URL": options.url, "AUTO_MIGRATE": "on", "LOG_LEVEL": "ERROR"})
    newest = app.test_client().get("/leads?limit=1&sort=-id").get_json()
    if not newest["items"]:
        fill(options.url, options.leads)
        newest = app.test_client().get("/leads?limit=1&sort=-id").get_json()
    if options.only_fill:
        return
    last, total = newest["items"][0], newest["total"]
    values = {
        "last": Cursor.encode(last["id"] - 50),
        "offset": total - 50,
        "email": last["email"],
        "middle": last["id"] // 2,
    }
    more = {name: path.format(**values) for name, path in MORE.items()}
    search.measure(app, more | search.REQUESTS, ROUNDS)
    measure_writes(app)


if __name__ == "__main__":
    main()
