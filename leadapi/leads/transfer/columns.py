"""Which column of a file is which field of a lead."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from leadapi.leads.fields import Attributes
from leadapi.leads.models import IMPORTED
from leadapi.leads.transfer.errors import RowError, UnknownColumn
from leadapi.leads.transfer.formulas import unescape_formula
from leadapi.leads.transfer.tables import BrokenLine, Row, normalize_name
from leadapi.web.fields import MAX_FIELDS

REQUIRED = ("full_name", "email")
ATTRIBUTE = "attributes."
# The target of a column that is left out.
DROPPED = "-"

_own = {normalize_name(name): name for name in IMPORTED} | {"id": DROPPED}


class Columns:
    """Maps the columns of a file to the fields of a lead.

    :param header: the columns' names; None where each row names its own.
    :param mapping: from the name of a column to a field, to `attributes.NAME`, or to `-` to leave it out.
    :raises UnknownColumn: the field of a column is unknown or ambiguous.
    """

    def __init__(self, header: Sequence[str] | None, mapping: Mapping[str, str]) -> None:
        self._mapping: dict[str, str] = {}
        for name, field in mapping.items():
            target = (
                _own.get(normalize_name(field)) if normalize_name(field) in map(normalize_name, IMPORTED) else field
            )
            if target not in (*IMPORTED, DROPPED) and not _is_attribute(str(target)):
                raise UnknownColumn(
                    f"There is no field {field!r}; the fields are {', '.join(IMPORTED)} and attributes.NAME."
                )
            self._mapping[normalize_name(name)] = str(target)
        self._targets: dict[str, str | None] = {}
        if header is not None:
            self._width = len(header)
            self._cells = self._placed(header)

    def _placed(self, header: Sequence[str]) -> list[tuple[int, str | None, str | None]]:
        """The number of each cell that is read, with its field or attribute; a cell with neither must be empty."""
        if len(header) > MAX_FIELDS:
            raise UnknownColumn(f"The file has more than {MAX_FIELDS} columns.")
        seen: dict[str, str] = {}
        cells: list[tuple[int, str | None, str | None]] = []
        for number, name in enumerate(header):
            target = self._target(name)
            if target is None and name.strip():
                raise UnknownColumn(f"No attribute can have the name of column {number + 1}; use --map.")
            if target != DROPPED:
                is_attribute = bool(target) and str(target).startswith(ATTRIBUTE)
                attribute = str(target).removeprefix(ATTRIBUTE) if is_attribute else None
                cells.append((number, None if is_attribute else target, attribute))
            # Names of columns that are left out must be unique, too: --map could not refer to them.
            key = f"{normalize_name(name)}, which is left out" if target == DROPPED else target
            if key and key in seen:
                raise UnknownColumn(f"Two columns are {key}: {seen[key]!r} and {name!r}. Use --map to tell them apart.")
            seen[key or ""] = name
        if missing := [name for name in REQUIRED if name not in seen]:
            raise UnknownColumn(f"No column is {' or '.join(missing)}. Name one: --map COLUMN={missing[0]}")
        if unknown := [name for name in self._mapping if name not in map(normalize_name, header)]:
            raise UnknownColumn(f"--map names a column that the file does not have: {unknown[0]!r}.")
        return cells

    def pick(self, row: Row) -> dict[str, Any]:
        """The fields of a row, not yet validated.

        :raises RowError: the row does not have the columns of the file.
        """
        if isinstance(row, list):
            return self._pick_cells(row)
        if isinstance(row, BrokenLine):
            raise RowError("This line is not a JSON object.")
        return self._pick_named(row)

    def _pick_cells(self, row: list[str]) -> dict[str, Any]:
        if len(row) != self._width:
            raise RowError(f"The row has {len(row)} cells, and the file has {self._width} columns.")
        given: dict[str, Any] = {}
        others: dict[str, str] = {}
        for number, name, attribute in self._cells:
            if cell := row[number]:
                if cell[0] == "'":
                    cell = unescape_formula(cell)
                if name:
                    given[name] = cell
                elif attribute:
                    others[attribute] = cell
                else:
                    raise RowError(f"Cell {number + 1} is not empty, and its column has no name.")
        if "attributes" in given:
            given["attributes"] = _object(given["attributes"])
            # Programs write null for no attributes.
            if given["attributes"] is None:
                del given["attributes"]
        return _joined(given, others)

    def _pick_named(self, row: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in row.items():
            target = self._target(name)
            if target is None:
                raise RowError("No attribute can have the name of one of the fields; use --map.")
            if value is None or target == DROPPED:
                continue
            place, key = (others, target.removeprefix(ATTRIBUTE)) if target.startswith(ATTRIBUTE) else (given, target)
            if key in place:
                raise RowError(f"Two fields are {target}.")
            place[key] = value
        return _joined(given, others)

    def _target(self, name: str) -> str | None:
        """The field, attribute or `-` that a column stands for; None if its name cannot be that of an attribute."""
        if name in self._targets:
            return self._targets[name]
        key = normalize_name(name)
        target = self._mapping.get(key) or _own.get(key) or f"{ATTRIBUTE}{name.strip()}"
        found = target if target in (*IMPORTED, DROPPED) or _is_attribute(target) else None
        # Bounded, because each row of NDJSON can have other names.
        if len(self._targets) < 10 * MAX_FIELDS:
            self._targets[name] = found
        return found


def _is_attribute(target: str) -> bool:
    name = target.removeprefix(ATTRIBUTE)
    # Arguments of a command that are not valid in the encoding of the terminal contain surrogates.
    is_text = name.encode(errors="ignore").decode() == name
    return target.startswith(ATTRIBUTE) and bool(Attributes.named.fullmatch(name)) and is_text


def _object(cell: str) -> Any:
    """The JSON value of a cell; the cell itself if it is not JSON."""
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


def _joined(given: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The fields, with the attributes that have their own columns added.

    :raises RowError: an attribute occurs twice.
    """
    if not others:
        return given
    attributes = given.setdefault("attributes", {})
    # The check refuses a value that is not an object.
    if isinstance(attributes, dict):
        if twice := attributes.keys() & others.keys():
            raise RowError(f"Two fields are {ATTRIBUTE}{min(twice)}.")
        given["attributes"] = attributes | others
    return given
