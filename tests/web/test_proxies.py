"""Where a request comes from, and whose word counts for it."""

from collections.abc import Callable

import pytest
from flask import request

from conftest import MakeApp
from leadapi.web.proxies import client_network

PEER = "192.0.2.1"

Network = Callable[..., str]


@pytest.fixture
def network(make_app: MakeApp) -> Network:
    """Whom a service takes a request to come from, given how many proxies it trusts and what it is told."""

    def ask(trusted: int, *forwarded: str, peer: str = PEER) -> str:
        app = make_app(DATABASE_URL="sqlite://", TRUSTED_PROXIES=str(trusted))
        app.add_url_rule("/network", view_func=client_network)
        headers = [("X-Forwarded-For", value) for value in forwarded]
        return app.test_client().get("/network", headers=headers, environ_base={"REMOTE_ADDR": peer}).text

    return ask


@pytest.mark.parametrize(
    ("trusted", "forwarded", "taken"),
    [
        (0, "203.0.113.7", PEER),
        (0, "", PEER),
        (1, "", PEER),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (2, "198.51.100.1, 203.0.113.7", "198.51.100.1"),
        (2, "10.0.0.1, 198.51.100.1, 203.0.113.7", "198.51.100.1"),
        (2, "203.0.113.7", PEER),
    ],
)
def test_only_so_many_proxies_are_believed(network: Network, trusted: int, forwarded: str, taken: str) -> None:
    assert network(trusted, forwarded) == taken


def test_a_header_in_several_lines_is_one(network: Network) -> None:
    assert network(1, "198.51.100.1", "203.0.113.7") == "203.0.113.7"


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("203.0.113.7:50000", "203.0.113.7"),
        ("[2001:db8:1:2:3::4]:50000", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3::4]", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::4", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_every_spelling_of_a_client_is_the_same_client(network: Network, address: str, taken: str) -> None:
    assert network(1, address) == taken
    assert network(0, peer=address) == taken


@pytest.mark.parametrize("forged", ['"x1', '"x1, y', "unknown", "x" * 5000, "1.2.3.4.5", "٣.3.3.3"])
def test_what_makes_a_proxy_unreadable_does_not_make_another_client(network: Network, forged: str) -> None:
    # An opening quote hides the comma before what the proxy adds.
    told = f"{forged}, 203.0.113.7" if forged.startswith('"') else forged

    assert network(1, told) == PEER


def test_a_server_without_addresses_has_one_client(network: Network) -> None:
    assert network(0, peer="") == "unknown"


def test_nothing_else_that_a_proxy_tells_is_used(make_app: MakeApp) -> None:
    app = make_app(DATABASE_URL="sqlite://", TRUSTED_PROXIES="1")
    app.add_url_rule("/address", view_func=lambda: request.url)
    told = {"Proto": "https", "Host": "elsewhere.example", "Port": "81", "Prefix": "/elsewhere"}
    headers = {f"X-Forwarded-{name}": value for name, value in told.items()}

    assert app.test_client().get("/address", headers=headers).text == "http://localhost/address"
