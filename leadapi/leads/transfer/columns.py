"""Which column of a file is which field of a lead."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from leadapi.leads.fields import Attributes
from leadapi.leads.models import IMPORTED
from leadapi.leads.transfer.exports import armed
from leadapi.leads.transfer.tables import Broken, Row, plain
from leadapi.web.fields import MAX_FIELDS

REQUIRED = ("full_name", "email")
ATTRIBUTE = "attributes."
# What stands for no field at all.
DROPPED = "-"

_own = {plain(name): name for name in IMPORTED} | {"id": DROPPED}


class Unmapped(Exception):
    """The columns cannot be told; the message is a sentence for who made the file."""


class Misfit(Exception):
    """A row does not have the columns of the file; the message is a sentence for who made the file."""


class Columns:
    """From the columns of a file to the fields of a lead.

    :param header: the columns' names; None where each row names its own.
    :param wishes: from the name of a column to a field, to `attributes.x`, or to `-` for none.
    :raises Unmapped: a column or a field cannot be told.
    """

    def __init__(self, header: Sequence[str] | None, wishes: Mapping[str, str]) -> None:
        self._wishes: dict[str, str] = {}
        for name, wish in wishes.items():
            target = _own.get(plain(wish)) if plain(wish) in map(plain, IMPORTED) else wish
            if target not in (*IMPORTED, DROPPED) and not _is_attribute(str(target)):
                raise Unmapped(f"There is no field {wish!r}; the fields are {', '.join(IMPORTED)} and attributes.NAME.")
            self._wishes[plain(name)] = str(target)
        self._targets: dict[str, str | None] = {}
        if header is not None:
            self._width = len(header)
            self._cells = self._placed(header)

    def _placed(self, header: Sequence[str]) -> list[tuple[int, str | None, str | None]]:
        """The place of each cell that is taken, and which field or attribute it is; if neither, it must be empty."""
        if len(header) > MAX_FIELDS:
            raise Unmapped(f"The file has more than {MAX_FIELDS} columns.")
        seen: dict[str, str] = {}
        cells: list[tuple[int, str | None, str | None]] = []
        for number, name in enumerate(header):
            target = self._target(name)
            if target is None and name.strip():
                raise Unmapped(f"No attribute can have the name of column {number + 1}; use --map.")
            if target != DROPPED:
                is_attribute = bool(target) and str(target).startswith(ATTRIBUTE)
                attribute = str(target).removeprefix(ATTRIBUTE) if is_attribute else None
                cells.append((number, None if is_attribute else target, attribute))
            # Of a column that is not taken there must be only one, too: who refers to it would not know which.
            key = f"{plain(name)}, which is left out" if target == DROPPED else target
            if key and key in seen:
                raise Unmapped(f"Two columns are {key}: {seen[key]!r} and {name!r}. Use --map to tell them apart.")
            seen[key or ""] = name
        if missing := [name for name in REQUIRED if name not in seen]:
            raise Unmapped(f"No column is {' or '.join(missing)}. Name one: --map COLUMN={missing[0]}")
        if unknown := [name for name in self._wishes if name not in map(plain, header)]:
            raise Unmapped(f"--map names a column that the file does not have: {unknown[0]!r}.")
        return cells

    def pick(self, row: Row) -> dict[str, Any]:
        """The fields that a row gives, as it gives them.

        :raises Misfit: it has other columns than the file.
        """
        if isinstance(row, list):
            return self._pick_cells(row)
        if isinstance(row, Broken):
            raise Misfit("This line is not a JSON object.")
        return self._pick_named(row)

    def _pick_cells(self, row: list[str]) -> dict[str, Any]:
        if len(row) != self._width:
            raise Misfit(f"The row has {len(row)} cells, and the file has {self._width} columns.")
        given: dict[str, Any] = {}
        others: dict[str, str] = {}
        for number, name, attribute in self._cells:
            if cell := row[number]:
                if cell[0] == "'":
                    cell = armed(cell)
                if name:
                    given[name] = cell
                elif attribute:
                    others[attribute] = cell
                else:
                    raise Misfit(f"Cell {number + 1} is not empty, and its column has no name.")
        if "attributes" in given:
            given["attributes"] = _object(given["attributes"])
            # Programs write null for none, and no cell takes anything away.
            if given["attributes"] is None:
                del given["attributes"]
        return _joined(given, others)

    def _pick_named(self, row: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in row.items():
            target = self._target(name)
            if target is None:
                raise Misfit("No attribute can have the name of one of the fields; use --map.")
            if value is None or target == DROPPED:
                continue
            place, key = (others, target.removeprefix(ATTRIBUTE)) if target.startswith(ATTRIBUTE) else (given, target)
            if key in place:
                raise Misfit(f"Two fields are {target}.")
            place[key] = value
        return _joined(given, others)

    def _target(self, name: str) -> str | None:
        """The field, the attribute or `-` that a column is; None where it has no name that would do."""
        if name in self._targets:
            return self._targets[name]
        key = plain(name)
        target = self._wishes.get(key) or _own.get(key) or f"{ATTRIBUTE}{name.strip()}"
        found = target if target in (*IMPORTED, DROPPED) or _is_attribute(target) else None
        # Each row of a file may have names of its own.
        if len(self._targets) < 10 * MAX_FIELDS:
            self._targets[name] = found
        return found


def _is_attribute(target: str) -> bool:
    name = target.removeprefix(ATTRIBUTE)
    # What the shell hands over need not be text, which shows in that it cannot be encoded.
    is_text = name.encode(errors="ignore").decode() == name
    return target.startswith(ATTRIBUTE) and bool(Attributes.named.fullmatch(name)) and is_text


def _object(cell: str) -> Any:
    """The object that a cell holds as JSON; the cell itself where it holds none."""
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


def _joined(given: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The fields, with attributes that have columns of their own among the rest.

    :raises Misfit: one of them is there already.
    """
    if not others:
        return given
    attributes = given.setdefault("attributes", {})
    # What is no object is left for the check to refuse.
    if isinstance(attributes, dict):
        if twice := attributes.keys() & others.keys():
            raise Misfit(f"Two fields are {ATTRIBUTE}{min(twice)}.")
        given["attributes"] = attributes | others
    return given
