"""The sources of settings: the environment of the process, the file `.env`, and files that variables name."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path


def environment(from_file: Mapping[str, str]) -> dict[str, str]:
    """The process environment, and from `.env` the settings that it has neither directly nor by file."""
    # The flask command has loaded .env into the environment. Values that are equal in both come from .env.
    own = {name: value for name, value in os.environ.items() if value and from_file.get(name) != value}
    ways = {name.removesuffix("_FILE") for name in own}
    return {name: value for name, value in from_file.items() if name.removesuffix("_FILE") not in ways} | own


def warnings(from_file: Mapping[str, str], names: list[str]) -> tuple[str, ...]:
    """A sentence for each variable of `.env` that is no setting, but resembles one."""
    known = [*names, *(f"{name}_FILE" for name in names)]
    similar = {
        name: difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
        for name in from_file
        if name not in known
    }
    return tuple(
        f".env sets {name}, which is no setting; is it {close[0]}?" for name, close in similar.items() if close
    )


def given(environ: Mapping[str, str], names: list[str]) -> tuple[dict[str, str], list[str]]:
    """The values that are set, directly or by file, and the faults in how they are set."""
    found: dict[str, str] = {}
    faults: list[str] = []
    for name in names:
        value, path = environ.get(name), environ.get(f"{name}_FILE")
        if value and path:
            faults.append(f"{name} and {name}_FILE are both set; set only one.")
        elif path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                faults.append(f"{name}_FILE names a file that cannot be read.")
        if value:
            found[name] = value
    if "LOG_LEVEL" in found:
        found["LOG_LEVEL"] = found["LOG_LEVEL"].upper()
    return found, faults
