"""Draws the pictures of the guide in Chromium, from made-up leads: .venv/bin/python tests/benchmarks/pictures.py"""

import random
import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from playwright.sync_api import Browser, Page, sync_playwright

from leadapi import create_app, storage
from leadapi.destinations import service as destinations
from leadapi.inbox import notices
from leadapi.keys import service as keys
from leadapi.keys.service import Caller
from leadapi.leads import captures, notes, service
from leadapi.leads.captures import MERGE, NewLead
from servers import Server

FOLDER = ROOT / "leadapi/guide/pictures"
VISITOR = Caller(None, frozenset({"capture"}))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]

# Hours ago, name, company, message, source and status.
LEADS = [
    (0.2, "Katherine Johnson", "Orbit Mechanics", "We would like to move 40 seats from our tool.", "referral", "new"),
    (1.5, "Alan Turing", "Bletchley Park", "Please send me the price list for universities.", "landing-page", "new"),
    (5, "Margaret Hamilton", "Apollo Guidance", "Can your product show priorities?", "webinar", "new"),
    (22, "Ada Lovelace", "Analytical Engines", "I would like a demo.\nWe are 12 people.", "landing-page", "new"),
    (49, "Grace Hopper", "Compiler Works", "Do you integrate with COBOL systems?", "contact-form", "contacted"),
    (75, "Jürgen Müller", "Bücher & Söhne", "Bitte rufen Sie mich zurück.", "contact-form", "qualified"),
    (190, "Hedy Lamarr", "Frequency Hopping", "The trial was good. Where do we sign?", "landing-page", "converted"),
    (400, "Charles Babbage", None, "Too noisy.", "newsletter", "lost"),
]
# Leads that fill the charts: how many, and the statuses to choose from.
EARLIER = 70
EARLIER_STATUSES = ("contacted", "qualified", "converted", "converted", "lost")
CAUGHT = [
    ("SEO Expert", "We can bring your site to page one of every search engine."),
    ("Dorothy Vaughan", "Please call me about the contract for our 30 machines."),
]


class Picture(NamedTuple):
    """A page, as wide and high as given, in a colour scheme."""

    name: str
    path: str
    width: int
    height: int
    scheme: Any = "light"


PICTURES = [
    Picture("list", "/inbox", 800, 470),
    Picture("lead", f"/inbox/leads/{EARLIER + 5}", 800, 620),
    Picture("phone", "/inbox", 390, 620, "dark"),
    Picture("quarantine", "/inbox/quarantine", 800, 450),
    Picture("numbers", "/inbox/numbers", 800, 620),
    Picture("destinations", "/inbox/destinations", 800, 345),
]


def store_leads(url: str) -> str:
    """Fill the database, and return a key for the inbox."""
    app = create_app({"DATABASE_URL": url, "SMTP_URL": "smtp://localhost", "MAIL_FROM": "leads@example.com"})
    with app.app_context():
        for description, to in (("Sales team", "sales"), ("Support", "support")):
            destinations.create_destination(
                kind="email",
                url=f"mailto:{to}@example.com",
                description=description,
                settings=app.extensions["settings"],
            )
        store_earlier()
        zoe = keys.create_key(name="Zoe", scopes=["admin"])
        by = Caller(zoe.key_id, keys.ALL)
        for hours, name, company, message, source, status in reversed(LEADS):
            fields = {
                "full_name": name,
                "email": f"{name.split()[0].lower().replace('ü', 'u')}@example.com",
                "company": company,
                "message": message,
                "source": source,
                "created_at": storage.now() - timedelta(hours=hours),
                "attributes": {"phone": "+44 20 7946 0958", "page": "https://www.example.com/pricing"},
            }
            (capture,) = captures.capture([NewLead(fields)], by=VISITOR)
            if capture.lead and status != "new":
                service.change_lead(capture.lead.id, {"status": status}, by=by)
        ada = {"full_name": "Ada Lovelace", "email": "ada@example.com", "message": "Any news about the demo?"}
        captures.capture([NewLead(ada)], by=VISITOR, on_repeat=MERGE)
        notes.add_note(EARLIER + 5, "Called her. She wants a date in May.", by=by)
        service.change_lead(EARLIER + 5, {"status": "contacted"}, by=by)
        end_deliveries()
    for name, message in CAUGHT:
        email = f"{name.split()[0].lower()}@example.com"
        app.test_client().post(
            "/leads",
            data={"name": name, "email": email, "message": message, "source": "contact-form", "_gotcha": "x"},
        )
    return zoe.text


def store_earlier() -> None:
    """Store the leads that fill the charts."""
    chance = random.Random(2)
    for number in range(EARLIER):
        fields = {
            "full_name": f"Visitor {number}",
            "email": f"visitor{number}@example.com",
            "source": chance.choice(["landing-page", "contact-form", "webinar"]),
            "status": chance.choice(EARLIER_STATUSES),
            "created_at": storage.now() - timedelta(days=60 * (1 - number / EARLIER) ** 1.3),
        }
        captures.capture([NewLead(fields)], by=VISITOR)


def end_deliveries() -> None:
    """Note that the first destination got everything, and that the second one is not reached."""
    ended = "UPDATE deliveries SET attempts = 1, last_attempt_at = datetime('now', '-11 minutes'), "
    with storage.write() as tx:
        tx.exec_driver_sql(f"{ended} state = 'delivered', status = 250 WHERE destination_id = 1")
        tx.exec_driver_sql(f"{ended} error = 'connection' WHERE destination_id = 2")


def log_in(browser: Browser, server: Server, key: str, picture: Picture) -> Page:
    """The page of a picture in a browser with a session."""
    page = browser.new_page(viewport={"width": picture.width, "height": picture.height}, color_scheme=picture.scheme)
    page.goto(f"{server.url}/inbox")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    if picture.name == "lead":
        page.context.add_cookies([{"name": notices.COOKIE, "value": "saved=status", "url": server.url}])
    page.goto(server.url + picture.path)
    return page


def main() -> None:
    """Draw all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        url = f"sqlite:///{folder}/leads.db"
        key = store_leads(url)
        server = Server({"DATABASE_URL": url, "AUTH": "on", "DELIVERY": "external"}, Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for picture in PICTURES:
            path = FOLDER / f"{picture.name}.png"
            log_in(browser, server, key, picture).screenshot(path=path)
            print(path, path.stat().st_size)
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
