"""Prints the way of a `POST /leads` through our files, from the WSGI call to the response."""

import json
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from leadapi import create_app

FOLDER = f"{ROOT}/leadapi/"
LEAD = {"full_name": "Jane Doe", "email": "jane@example.com", "company": "Acme", "message": "Hello", "source": "page"}


def main() -> None:
    """Store two leads, and print the functions that the second one enters."""
    visits: list[tuple[str, str]] = []

    def enter(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(FOLDER):
            visits.append((frame.f_code.co_filename.removeprefix(FOLDER), frame.f_code.co_name))

    with tempfile.TemporaryDirectory() as folder:
        client = create_app({"DATABASE_URL": f"sqlite:///{folder}/leads.db"}).test_client()
        client.post("/leads", json=LEAD)
        other = json.dumps(LEAD | {"email": "john@example.com"})
        sys.setprofile(enter)
        client.post("/leads", data=other, content_type="application/json")
        sys.setprofile(None)
    files = [file for file, _ in visits]
    hops = 0
    for place, (file, function) in enumerate(visits):
        is_hop = place > 0 and file != files[place - 1]
        hops += is_hop
        print(f"{file if is_hop or not place else '':30} {function}")
    print(f"{len(set(files))} files, {hops} changes from one file to another")


if __name__ == "__main__":
    main()
