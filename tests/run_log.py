"""Checks what apps and servers log while a test runs: JSON lines, documented statuses, no keys and no people."""

import re
from typing import Any

import orjson

# Everything that a test says about a person contains this word, so that the log can be searched for people.
MARKER = "zebedee"

# The message of coverage about an error at the exit of a process.
_COVERAGE_FAULT = re.compile(
    r"^Exception ignored in atexit callback: <bound method Coverage.*\n(?:[^{].*\n?)*", re.MULTILINE
)

# Every key that this process made. A test that reads a key from the output of a command adds it.
secrets: list[str] = []

# The method, the path and the statuses of each operation.
_documented: list[tuple[str, re.Pattern[str], set[int]]] = []


def read_document(document: dict[str, Any]) -> None:
    """Take the statuses that an operation may be answered with from the OpenAPI document."""
    for path, operations in document["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[0-9]+", path))
        for method, operation in operations.items():
            if "responses" in operation:
                # Forms are answered 303, but the document describes JSON only.
                _documented.append((method.upper(), pattern, {303, *map(int, operation["responses"])}))


def faults(output: str) -> list[str]:
    """The faults of the standard output of a test. Apps and servers log there, and tests write nothing else."""
    # A process that is told to stop while it saves its coverage reports that, but no fault of the service.
    return [fault for line in _COVERAGE_FAULT.sub("", output).splitlines() if line for fault in _faults_of(line)]


def _faults_of(line: str) -> list[str]:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return [f"not JSON: {line}"]
    found = []
    if MARKER in line.lower():
        found.append(f"a person: {line}")
    # The log may contain the part of a key that identifies it.
    if re.search("lk_[0-9a-z]{12}_", line) or any(secret[16:] in line for secret in secrets):
        found.append(f"a key: {line}")
    if entry.get("event") == "request":
        for method, path, statuses in _documented:
            if entry["method"] == method and path.fullmatch(entry["path"]) and entry["status"] not in statuses:
                found.append(f"a status that the OpenAPI document does not contain: {line}")
    return found
