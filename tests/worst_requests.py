"""The requests that cost the service the most, for tests/web/test_costs.py and tests/benchmarks/worst_request.py."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

MIB = 2**20
SITE = "https://www.example.com"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary="
HEAD = b'Content-Disposition: form-data; name="a"'
MERGE = {"Prefer": "resolution=merge-duplicates"}
NAMES = [
    "Accept",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "Forwarded",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "Origin",
    "Prefer",
    "Range",
    "X-API-Key",
    "X-Forwarded-For",
    "X-Request-Id",
]
PIECES = [
    "a",
    ",",
    ";",
    " ",
    '"',
    "\\",
    "=",
    "\t",
    'a="',
    '"a",',
    "a/b;q=1,",
    "*;q=0.",
    "a=b;",
    "; ",
    "en-US;q=0.5,",
    'W/"',
]
# What stands before and after the repeated piece: an Accept of the second kind took a quarter of a second for 8 kB.
FRAMES = [("", ""), ("a", "a"), ('a;a="', '"')]


class Request(NamedTuple):
    """One request, and a name for it."""

    name: str
    path: str = "/leads"
    body: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    method: str = "POST"


def headers(name: str, longest: int) -> Iterator[Request]:
    """Requests with a header of this length, of many pieces."""
    starts = ("", "Basic ", f"{URLENCODED};", MULTIPART) if name in ("Authorization", "Content-Type") else ("",)
    values = {
        (start + before + piece * longest)[: longest - len(after)] + after
        for start in starts
        for piece in PIECES
        for before, after in FRAMES
    }
    for value in sorted(values):
        form = {"Accept": "text/html", "Content-Type": URLENCODED}
        preflight = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
        shown = f"{name}: {value[:12]!r}"
        yield Request(f"form, {shown}", body=b"email=nobody", headers=form | {name: value})
        yield Request(f"preflight, {shown}", headers=preflight | {name: value}, method="OPTIONS")
        for path in ("/leads", "/leads/1", "/leads/export"):
            yield Request(f"{path}, {shown}", path, headers={name: value}, method="GET")


def targets(longest: int) -> Iterator[Request]:
    """Requests with a long path or query."""
    for piece in ("a&", "a=b&", "%41", "+", "=", ";", "a=%ff&"):
        query = (piece * longest)[: longest - 100]
        for path, method in (("/leads", "POST"), ("/leads", "GET"), ("/forms/ts", "GET"), ("/docs", "GET")):
            yield Request(f"{method} {path}?{piece}…", f"{path}?{query}", b"{}", method=method)
        yield Request(f"form ?{piece}…", f"/leads?{query}", b"email=nobody", URLENCODED)
    for start, piece in (("/leads/", "1"), ("/leads", "/"), ("/", "a/"), ("/", "%2f"), ("/docs/assets/", "../")):
        path = (start + piece * longest)[: longest - 100]
        yield Request(f"{start}{piece}…", path, method="GET")


def documents() -> Iterator[Request]:
    """JSON bodies of the largest size."""
    plain: dict[str, Any] = {"full_name": "Zebedee Doe", "email": "zebedee@example.com"}
    half = (MIB - 100) // 2
    yield Request("nested lists", body=b"[" * half + b"]" * half)
    deep = b",".join([b"[" * 900 + b"]" * 900] * 580)
    yield Request("many nested lists", body=b'{"attributes":[' + deep + b"]}")
    yield Request("a list", body=b"[" + b"0," * (half - 5) + b"0]")
    yield Request("one number", body=b'{"full_name":' + b"1" * (MIB - 100) + b"}")
    yield Request("a wrong last byte", body=b'"' + "é".encode() * (half - 10) + b'\xff"')
    yield Request("many fields", body=_json({f"{number}": 0 for number in range(85_000)}))
    attributes = {
        "many": {f"{number}": "" for number in range(80_000)},
        "long values": {f"{number}": "\ufdfa" * 2000 for number in range(50)},
        "long names": {f"{number}{'x' * 9000}": "a" for number in range(50)},
    }
    for name, value in attributes.items():
        yield Request(f"attributes: {name}", body=_json(plain | {"attributes": value}))
    for field in ("full_name", "email", "company", "message", "source"):
        for piece in ("a", " ", "é", "\ufdfa", "\u0344", "\u200b", "\u1f82", ".", "@", "\x01"):
            size = len(_json(piece)) - 2
            yield Request(f"{field} of {piece!r}", body=_json(plain | {field: piece * ((MIB - 200) // size)}))
    for piece in ("ü", "\u0628", "\ufdfa", "xn--bcher-kva."):
        yield Request(f"domain of {piece!r}", body=_json(plain | {"email": f"a@{(piece * 200)[:230]}.example"}))


def forms() -> Iterator[Request]:
    """Forms of the largest size."""
    bodies = {name: (content, MULTIPART + boundary) for name, (content, boundary) in _multiparts().items()}
    for piece in (
        b"%41",
        b"%41a",
        b"%ff",
        b"%",
        b"%x",
        b"+",
        b"=",
        b";",
        b"{",
        b"\xff",
        b"%26%23300%3B",
        b"\xe9a\xc3\xa9",
    ):
        many = piece * ((MIB - 2) // len(piece))
        bodies |= {f"value of {piece!r}": (b"a=" + many, URLENCODED), f"name of {piece!r}": (many, URLENCODED)}
    for charset in ("utf-8", "windows-1252", "windows-874", "iso-8859-6", "gbk", "big5", "shift_jis", "euc-kr"):
        for piece in (b"\xff", b"\x81@", b"\x80"):
            content = b"full_name=" + piece * ((MIB - 20) // len(piece))
            bodies[f"{charset} of {piece!r}"] = (content, f"{URLENCODED}; charset={charset}")
    for label in ("Email (a) ", "\ufdfa", "(", "]"):
        names = (f"{number}{label * (2000 // len(label.encode()))}" for number in range(499))
        bodies[f"499 names of {label!r}"] = ("&".join(f"{name}=1" for name in names).encode(), URLENCODED)
    for name, (content, content_type) in bodies.items():
        yield Request(f"form: {name}", body=content, content_type=content_type)


def _multiparts() -> dict[str, tuple[bytes, str]]:
    """Bodies of multipart forms, and the boundary of each."""
    found = {
        "tiny parts": (_multipart(*[HEAD + b"\r\n\r\n"] * 19_000), "b"),
        "a long name": (_multipart(HEAD + b"\\" * 10**6 + b'"\r\n\r\n'), "b"),
        "many heads": (b"--b\r\n" + b"a:b\r\n" * 200_000, "b"),
        "only dashes": (b"-" * MIB, "-" * 100),
        "dashes in a value": (b"--%b\r\n%b\r\n\r\n%b" % (b"-" * 100, HEAD, b"-" * 10**6), "-" * 100),
        "nearly boundaries": (
            b"--%b\r\n%b\r\n\r\n%b" % (b"-" * 9, HEAD, (b"\r\n--%bx" % (b"-" * 8)) * 70_000),
            "-" * 9,
        ),
        "references": (_filled("a", "&#300;"), "b; charset=windows-1252"),
    }
    for piece in (b'; a="', b";a=b", b"; ", b'"', b"\\", b'\\"', b";"):
        heads = [HEAD + (b"\r\nContent-Type: a" + piece * 1000)[:1000] * 4 + b"\r\n\r\n"] * 240
        found[f"heads of {piece!r}"] = (_multipart(*heads), "b")
    for name in ("full_name", "E-Mail", "message", "x"):
        for text in ("\x01", "\x85", " ", "\u3000", "\u200b", "\u3164", "\r", '"', "\ufdfa", "\0é"):
            found[f"{name} of {text!r}"] = (_filled(name, text), "b")
    for encoding, content in (
        ("base64", b"YQ=="),
        ("base64", b"\n"),
        ("quoted-printable", b"=41"),
        ("quoted-printable", b"=\n"),
    ):
        head = HEAD + f"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        found[f"{encoding} of {content!r}"] = (_multipart(head + content * ((MIB - 200) // len(content))), "b")
    return found


def batches(run: str) -> Iterator[Request]:
    """Batches of 500 items of the largest size, and large pages.

    :param run: a word that tells the addresses of one call from those of another.
    """
    kinds: dict[str, dict[str, Any]] = {
        "plain": {"message": "m" * 1500},
        "attributes": {"attributes": {f"é{number}": "é" * 8 for number in range(50)}},
        "deep attributes": {"attributes": {f"a{number}": [[[[[]]]]] for number in range(50)}},
        "unknown fields": {f"unknown {number}": 1 for number in range(95)},
        "caught": {"_gotcha": "x", "message": "m" * 1500},
    }
    domains = {
        "international": "." + ".".join(["üöäü" * 5] * 6),
        "right to left": "." + ".".join(["\u0628" * 20] * 6),
        "just within the limit": "ü" * 18 + ".example",
        "encoded already": "." + ".".join(["xn--bcher-kva"] * 15),
        "many labels": "." + ".".join("a" * 110),
    }
    for name, fields in kinds.items():
        yield _batch(name, [_lead(f"{run}{name[0]}{number}@example.com") | fields for number in range(500)])
    for name, domain in domains.items():
        yield _batch(name, [_lead(f"zo@{run}{number}{domain}") for number in range(500)])
    deep = b",".join([b"[" * 900 + b"]" * 900] * 500)
    yield Request("nested items", "/leads/batch", b'{"items":[' + deep + b"]}")
    yield _batch("empty items", [{}] * 500)
    full = {f"full {number}": "x" * 1900 for number in range(8)}
    people = [f"{run}-full-{number}@example.com" for number in range(500)]
    for start in range(0, 500, 50):
        yield _batch("large", [_lead(each) | {"attributes": full} for each in people[start : start + 50]])
    small = {f"small {number}": "b" * 20 for number in range(50)}
    yield _batch("merges that do not fit", [_lead(each) | {"attributes": small} for each in people], MERGE)
    yield _batch("merges of one lead", [_lead(people[0]) | {"attributes": small}] * 500, MERGE)
    yield _batch("repeats", [_lead(each) for each in people])
    for path in ("/leads?limit=100&sort=-id", "/leads?limit=100&offset=900"):
        yield Request(path, path, method="GET")


def _batch(name: str, items: list[Any], headers: dict[str, str] | None = None) -> Request:
    return Request(f"batch: {name}", "/leads/batch", _json({"items": items}), headers=headers or {})


def _lead(email: str) -> dict[str, Any]:
    return {"full_name": "Zebedee Doe", "email": email}


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


def _multipart(*parts: bytes) -> bytes:
    """A body of parts, each of them a head and a content."""
    return b"".join(b"--b\r\n%b\r\n" % part for part in parts) + b"--b--\r\n"


def _filled(name: str, piece: str) -> bytes:
    """A body that one value fills."""
    content = piece.encode()
    head = HEAD.replace(b'"a"', f'"{name}"'.encode()) + b"\r\n\r\n"
    return _multipart(head + content * ((MIB - 100) // len(content)))
