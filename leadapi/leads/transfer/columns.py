"""Turn the rows of a file into the fields of leads."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from leadapi.leads.transfer.errors import RowError, UnknownColumn
from leadapi.leads.transfer.formulas import unescape_formula
from leadapi.leads.transfer.headers import Plan, StateColumn, make_plan
from leadapi.leads.transfer.mapping import ATTRIBUTE, parse_targets
from leadapi.leads.transfer.tables import BrokenLine, Row
from leadapi.leads.transfer.values import read_status, read_time

# As good as null.
EMPTY: tuple[Any, ...] = (None, "", [], {})
# Each row of NDJSON can have other names. This many sets of names are remembered, and this many notices given.
MAX_PLANS = 1000
MAX_NOTICES = 50


class Columns:
    """Maps the columns of a file to the fields of a lead.

    :param header: the columns' names; None if each row names its own.
    :param options: from columns to a field, to `attributes.NAME`, or to `-` to leave them out.
    :param addresses: see `headers.make_plan`.
    :raises UnknownColumn: the field of a column is unknown.
    """

    def __init__(
        self, header: Sequence[str] | None, options: Mapping[str, str], addresses: Sequence[int | str] = ()
    ) -> None:
        self._targets = parse_targets(options)
        self._addresses = addresses
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._notices: dict[str, None] = {}
        # Examples of values that are no status or time, by column.
        self._foreign: dict[tuple[str, str], str] = {}
        self._plan = Plan()
        if header is not None:
            self._plan = make_plan(header, self._targets, addresses=addresses, is_table=True)
            self._width = len(header)
            self._add_notices(self._plan)
        self.has_notices_in_rows = header is None or bool(self._plan.states)

    @property
    def notices(self) -> list[str]:
        """One sentence about each guess, for the rows that were picked so far."""
        foreign = [
            f"Some values of {attribute!r}, such as {example[:100]!r}, are not a"
            f" {'status of a lead' if field == 'status' else 'time with a zone'} and become attributes."
            for (field, attribute), example in self._foreign.items()
        ]
        return [*self._notices, *foreign][:MAX_NOTICES]

    def pick(self, row: Row) -> dict[str, Any]:
        """The fields of a row, not yet validated.

        :raises RowError: the row does not have the columns of the file.
        """
        if isinstance(row, list):
            if len(row) != self._width:
                row = self._fitted(row)
            if "'" in "".join(row):
                row = list(map(unescape_formula, row))
            return self._read(self._plan, row)
        if isinstance(row, BrokenLine):
            raise RowError("This line is not a JSON object.")
        # 0 and False are not empty. In a list, they are read, and the check refuses them.
        cells = [value or (None if value in EMPTY else [value]) for value in row.values()]
        return self._read(self._plan_of(tuple(row)), cells)

    def _fitted(self, row: list[str]) -> list[str]:
        """The row with as many cells as there are columns: programs leave out empty cells at the end."""
        if any(row[self._width :]):
            raise RowError(f"The row has {len(row)} cells, and the file has {self._width} columns.")
        return row[: self._width] + [""] * (self._width - len(row))

    def _plan_of(self, names: tuple[str, ...]) -> Plan:
        plan = self._plans.get(names)
        if plan is None:
            try:
                plan = make_plan(names, self._targets, addresses=self._addresses, is_table=False)
            except UnknownColumn as exc:
                raise RowError(str(exc)) from exc
            if len(self._plans) < MAX_PLANS:
                self._plans[names] = plan
            self._add_notices(plan)
        return plan

    def _add_notices(self, plan: Plan) -> None:
        if len(self._notices) < MAX_NOTICES:
            self._notices |= dict.fromkeys(plan.notices)

    def _read(self, plan: Plan, cells: Sequence[Any]) -> dict[str, Any]:
        given = {name: cell for index, name in plan.fields if (cell := cells[index])}
        others = {name: cell for index, name in plan.attributes if (cell := cells[index])}
        for indices, target in plan.joined:
            if value := _join([cells[index] for index in indices if cells[index]]):
                place = others if target.startswith(ATTRIBUTE) else given
                place[target.removeprefix(ATTRIBUTE)] = value
        for column in plan.states:
            if cells[column.index]:
                self._read_state(column, cells[column.index], given, others)
        if "attributes" in given and plan is self._plan:
            given["attributes"] = _parse_object(given["attributes"])
            # Programs write null for no attributes.
            if given["attributes"] is None:
                del given["attributes"]
        return _merge_attributes(given, others) if others else given

    def _read_state(self, column: StateColumn, cell: Any, given: dict[str, Any], others: dict[str, Any]) -> None:
        value = cell
        if isinstance(cell, str):
            value = read_status(cell) if column.field == "status" else read_time(cell, is_utc=column.is_utc)
        if value is not None:
            # The check refuses values that are not texts.
            given[column.field] = value
        elif cell.strip():
            others[column.attribute] = cell
            if len(self._foreign) < MAX_NOTICES:
                self._foreign.setdefault((column.field, column.attribute), cell)


def _join(parts: list[Any]) -> Any:
    """The parts as one text. The check refuses a part that is not a text."""
    for part in parts:
        if not isinstance(part, str):
            return part
    return " ".join(filter(None, map(str.strip, parts)))


def _parse_object(cell: str) -> Any:
    """The JSON value of a cell; the cell itself if it is not JSON."""
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


def _merge_attributes(given: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The fields, with the attributes that have their own columns added.

    :raises RowError: an attribute occurs twice.
    """
    attributes = given.setdefault("attributes", {})
    # The check refuses a value that is not an object.
    if isinstance(attributes, dict):
        if twice := attributes.keys() & others.keys():
            raise RowError(f"Two fields are {ATTRIBUTE}{min(twice)}.")
        given["attributes"] = attributes | others
    return given
