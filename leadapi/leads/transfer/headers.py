"""Work out the field or attribute that each column of a file stands for."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from leadapi.leads.aliases import FIRST_NAME, LAST_NAME, NAME, field_of_column, normalize_label
from leadapi.leads.fields import Attributes
from leadapi.leads.models import IMPORTED, SENT, SHOWN
from leadapi.leads.transfer.checks import REQUIRED
from leadapi.leads.transfer.errors import UnknownColumn
from leadapi.leads.transfer.mapping import ATTRIBUTE, DROPPED, find_columns
from leadapi.leads.transfer.values import names_utc, without_utc
from leadapi.web.fields import CONTROL, MAX_FIELDS, SPACES

# Columns of a file, including those that are left out.
MAX_COLUMNS = 5000
# Fields whose values may be those of another product.
STATE = tuple(name for name in IMPORTED if name not in SENT)

_blank = re.compile(rf"[{CONTROL}]+")


@dataclass(frozen=True)
class StateColumn:
    """A column with a status or a time, and the attribute for values that are none."""

    index: int
    field: str
    attribute: str
    is_utc: bool


@dataclass
class Plan:
    """What is read from which column. An attribute's target has the prefix `attributes.`."""

    fields: list[tuple[int, str]] = field(default_factory=list)
    attributes: list[tuple[int, str]] = field(default_factory=list)
    joined: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    states: list[StateColumn] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def make_plan(
    header: Sequence[str], targets: Mapping[str, str], *, addresses: Sequence[int | str] = (), is_table: bool
) -> Plan:
    """The plan for columns with these names.

    :param targets: see `mapping.parse_targets`.
    :param addresses: the numbers or names of columns that hold email addresses, the likeliest first.
    :param is_table: whether these are the columns of all rows, so that none may be missing.
    :raises UnknownColumn: a column that is needed is missing, or there are too many.
    """
    return _Planner(header, targets).make(addresses, is_table=is_table)


class _Planner:
    """Assigns columns step by step: those of --map, those with known names, the email column, and the rest."""

    def __init__(self, header: Sequence[str], targets: Mapping[str, str]) -> None:
        self.header, self.targets = header, targets
        self.plan = Plan()
        # The columns that are not assigned yet, and the fields and attributes that are.
        self.free = dict.fromkeys(range(len(header)))
        self.used: dict[str, tuple[int, ...]] = {}
        self.names: list[str] = []

    def make(self, addresses: Sequence[int | str], *, is_table: bool) -> Plan:
        if len(self.header) > MAX_COLUMNS:
            raise UnknownColumn(f"There are {len(self.header):,} columns, more than {MAX_COLUMNS:,}.")
        self.names = self._distinct_names()
        self._assign_mapped(is_table=is_table)
        self._leave_out()
        count = len(self.free) + sum(map(len, self.used.values()))
        if count > MAX_FIELDS:
            raise UnknownColumn(
                f"The file has {count:,} columns, and at most {MAX_FIELDS} can be imported. Leave some out with --map"
                " COLUMN=-."
            )
        guessed = self._assign_known(addresses) | self._assign_name()
        if "email" not in self.used:
            guessed |= self._assign_addresses(addresses)
        if guessed:
            shown = [f"{' + '.join(repr(self.names[i]) for i in of)} is {name}" for name, of in guessed.items()]
            self.plan.notices.insert(0, f"Guessed from the columns: {', '.join(shown)}.")
        for index in self.free:
            self._add((index,), f"{ATTRIBUTE}{self._attribute(index)}")
        if is_table and (missing := [name for name in REQUIRED if name not in self.used]):
            raise UnknownColumn(f"No column is {' or '.join(missing)}. Name one: --map COLUMN={missing[0]}")
        return self.plan

    def _distinct_names(self) -> list[str]:
        """The names without control characters, and with a number where an earlier column has the same name."""
        names: dict[str, None] = {}
        nameless = 0
        for raw in self.header:
            name = _blank.sub(" ", raw).strip(SPACES)
            if not name:
                nameless += 1
                # No other name begins with a space.
                names[f" {nameless}"] = None
                continue
            distinct = _distinct(name, names)
            if distinct != name:
                self.plan.notices.append(f"Several columns are {name!r}: one of them is read as {distinct!r}.")
            names[distinct] = None
        return ["" if name.startswith(" ") else name for name in names]

    def _assign_mapped(self, *, is_table: bool) -> None:
        for expression, target in self.targets.items():
            indices = find_columns(expression, self.names, all_needed=is_table)
            if twice := [index for index in indices if index not in self.free]:
                raise UnknownColumn(f"--map names column {twice[0] + 1} twice.")
            if target in self.used:
                raise UnknownColumn(f"--map names two columns for {target}. Join them: --map 'ONE+TWO={target}'")
            for index in indices:
                del self.free[index]
            if indices and target != DROPPED:
                self._add(indices, target)

    def _leave_out(self) -> None:
        """Leave out columns without a name, and ids, because each lead gets a new one."""
        nameless = [index for index in self.free if not self.names[index]]
        ids = [index for index in self.free if normalize_label(self.names[index]) == "id"]
        for index in nameless + ids:
            del self.free[index]
        if nameless:
            numbers = ", ".join(f"#{index + 1}" for index in nameless[:10])
            self.plan.notices.append(
                f"Columns without a name are left out: {numbers}. To keep one: --map"
                f" '#{nameless[0] + 1}=attributes.NAME'"
            )
        if ids and self.names != list(SHOWN):
            name = self.names[ids[0]]
            self.plan.notices.append(f"The column {name!r} is left out. To keep it: --map '{name}=attributes.{name}'")

    def _assign_known(self, addresses: Container[int | str]) -> dict[str, tuple[int, ...]]:
        """Assign columns by the vocabulary; return those whose names are not those of the fields.

        Of several columns for the email address, one that holds addresses is taken. Microsoft Forms exports have
        "anonymous" in the column `Email`.
        """
        candidates: dict[str, list[int]] = {}
        for index in self.free:
            name = self.names[index]
            found = field_of_column(name)
            if found is None and names_utc(name):
                found = field_of_column(without_utc(name))
                found = found if found in STATE else None
            if found in IMPORTED and found not in self.used:
                candidates.setdefault(found, []).append(index)
        guessed: dict[str, tuple[int, ...]] = {}
        for name, indices in candidates.items():
            likely = [index for index in indices if self._holds(index, addresses)] if name == "email" else []
            chosen = min(likely or indices, key=lambda index: not self._is_own(index, name))
            self._choose(name, chosen, indices)
            if not self._is_own(chosen, name):
                guessed[name] = (chosen,)
        return guessed

    def _assign_name(self) -> dict[str, tuple[int, ...]]:
        """Assign the full name, or join it from its parts."""
        if "full_name" in self.used:
            return {}
        parts: dict[str, int] = {}
        for index in self.free:
            part = field_of_column(self.names[index])
            if part in (FIRST_NAME, NAME, LAST_NAME):
                parts.setdefault(part, index)
        if FIRST_NAME in parts and LAST_NAME in parts:
            parts.pop(NAME, None)
        indices = tuple(parts[part] for part in (FIRST_NAME, NAME, LAST_NAME) if part in parts)
        if not indices:
            return {}
        for index in indices:
            del self.free[index]
        self._add(indices, "full_name")
        return {"full_name": indices}

    def _assign_addresses(self, addresses: Iterable[int | str]) -> dict[str, tuple[int, ...]]:
        found = [index for index in addresses if isinstance(index, int) and index in self.free]
        found += [index for index in self.free if self.header[index] in addresses]
        if not found:
            return {}
        self._choose("email", found[0], found)
        return {"email": (found[0],)}

    def _choose(self, target: str, chosen: int, candidates: Sequence[int]) -> None:
        del self.free[chosen]
        self._add((chosen,), target)
        if others := [repr(self.names[index]) for index in candidates if index != chosen]:
            self.plan.notices.append(
                f"{self.names[chosen]!r} is taken as {target}. It could also be {', '.join(others)}; choose with --map."
            )

    def _holds(self, index: int, addresses: Container[int | str]) -> bool:
        return index in addresses or self.header[index] in addresses

    def _is_own(self, index: int, target: str) -> bool:
        return normalize_label(self.names[index]) == normalize_label(target)

    def _attribute(self, index: int) -> str:
        """The name of the attribute for a column."""
        name = self.names[index]
        short = name[: Attributes.longest_name].strip(SPACES)
        unique = _distinct(short, {target.removeprefix(ATTRIBUTE) for target in self.used if ATTRIBUTE in target})
        if unique != name:
            self.plan.notices.append(f"The attribute for column {index + 1} gets the name {unique!r}.")
        return unique

    def _add(self, indices: tuple[int, ...], target: str) -> None:
        self.used[target] = indices
        if target in STATE and len(indices) == 1:
            name = self.names[indices[0]]
            attribute = self._attribute(indices[0])
            self.used[f"{ATTRIBUTE}{attribute}"] = ()
            self.plan.states.append(StateColumn(indices[0], target, attribute, names_utc(name)))
        elif len(indices) > 1:
            self.plan.joined.append((indices, target))
        elif target.startswith(ATTRIBUTE):
            self.plan.attributes.append((indices[0], target.removeprefix(ATTRIBUTE)))
        else:
            self.plan.fields.append((indices[0], target))


def _distinct(name: str, names: Container[str]) -> str:
    """The name, with a number if it is taken; at most as long as the name of an attribute can be."""
    distinct, number = name, 1
    while distinct in names:
        number += 1
        suffix = f" {number}"
        distinct = f"{name[: Attributes.longest_name - len(suffix)]}{suffix}"
    return distinct
