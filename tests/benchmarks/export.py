"""Downloads many leads while others arrive, and measures the pace and the memory that it takes.

.venv/bin/python tests/benchmarks/export.py [--leads 1000000] [--only sqlite]
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import load
import orjson
from run import Service

from postgres import Postgres


def download(service: Service, form: str) -> None:
    """Take a whole file, and check that it is one moment: nothing new, nothing missing, nothing twice."""
    master = service.server.process.pid
    before = most = load.memory_mb(master)
    stop = threading.Event()
    stored: list[int] = []

    def capture() -> None:
        while not stop.wait(0.05):
            lead = {"full_name": "John Doe", "email": f"new.{form}.{len(stored)}@example.com"}
            stored.append(service.server.post("/leads", json=lead).status)

    writer = threading.Thread(target=capture)
    writer.start()
    started = time.perf_counter()
    # A connection of its own, read in large pieces, so that the client does not slow the server down.
    response = service.server.get(f"/leads/export?format={form}", preload_content=False)
    pieces = []
    for piece in response.stream(2**20):
        pieces.append(piece)
        most = max(most, load.memory_mb(master))
    seconds = time.perf_counter() - started
    stop.set()
    writer.join()

    lines = b"".join(pieces).splitlines()
    ids = [orjson.loads(line)["id"] for line in lines] if form == "ndjson" else list(range(1, len(lines)))
    whole = ids == list(range(1, service.size + 1))
    print(
        f"{service.name}, {form}: {service.size / seconds:,.0f} rows/s; a worker of {before:.0f} MB grew by"
        f" {most - before:.0f} MB; {len(stored)} leads were stored meanwhile, all with 201: {set(stored) == {201}};"
        f" the file is whole: {whole}"
    )
    service.remove_new()


def main() -> None:
    """Fill and download."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        postgres = Postgres(durable=True)
        urls = {"SQLite": f"sqlite:///{folder}/leads.db", "PostgreSQL": postgres.new_database()}
        for name, url in urls.items():
            if options.only in (None, name.lower()):
                service = Service(name, url, options.leads, folder / name)
                for form in ("ndjson", "csv"):
                    download(service, form)
                service.server.stop()
                service.engine.dispose()
        postgres.remove()


if __name__ == "__main__":
    main()
