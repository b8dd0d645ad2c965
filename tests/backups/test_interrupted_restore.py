"""flask db restore that ends in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from backups.conftest import BackUp, ids, restored
from flask.testing import FlaskClient

from conftest import StoredLead
from leadapi import storage
from servers import ROOT

# It dies when a part of the copy has been written into the database.
PROGRAM = """
import os, sys
from pathlib import Path
from leadapi import create_app
from leadapi.backups import service
from leadapi.storage import restore
database, backup, number = sys.argv[1:]
restore.PAGES = 5
calls = []
def progress(position, size):
    calls.append(position)
    if calls.count(5) == 2:
        os.kill(os.getpid(), int(number))
with create_app({"DATABASE_URL": f"sqlite:///{database}"}).app_context():
    service.restore(Path(backup), progress=progress)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_end_in_the_middle_leaves_the_old_database(
    client: FlaskClient, stored_lead: StoredLead, backup: BackUp, path: Path, number: signal.Signals
) -> None:
    for _ in range(50):
        stored_lead(message="m" * 1900)
    file = backup()
    client.delete("/leads/1")
    with client.application.app_context():
        storage.db.engine.dispose()

    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(file), str(int(number))],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )

    assert result.returncode == -number
    assert path.with_name("leads.db-journal").exists() == (number == signal.SIGKILL)
    assert ids(client) == [*range(2, 51)]
    assert restored(client.application, file, "--yes").exit_code == 0
    assert not path.with_name(".leads.db.restore").exists()
