"""The option --map, which assigns columns to fields."""

from collections.abc import Mapping, Sequence

from leadapi.leads.aliases import normalize_label
from leadapi.leads.fields import Attributes
from leadapi.leads.models import IMPORTED
from leadapi.leads.transfer.errors import UnknownColumn

ATTRIBUTE = "attributes."
# The target of a column that is left out.
DROPPED = "-"

_own = {normalize_label(name): name for name in IMPORTED}


def parse_targets(options: Mapping[str, str]) -> dict[str, str]:
    """The options with the exact names of fields.

    :raises UnknownColumn: there is no such field.
    """
    targets = {}
    for columns, field in options.items():
        target = field if field == DROPPED or field.startswith(ATTRIBUTE) else _own.get(normalize_label(field), "")
        if not target or (target.startswith(ATTRIBUTE) and not _is_attribute(target.removeprefix(ATTRIBUTE))):
            raise UnknownColumn(
                f"There is no field {field!r}; the fields are {', '.join(IMPORTED)} and attributes.NAME."
            )
        targets[columns] = target
    return targets


def find_columns(expression: str, names: Sequence[str], *, all_needed: bool) -> tuple[int, ...]:
    """The indices of the columns that `NAME`, `#NUMBER` or several of them joined by `+` stand for.

    :param names: unique names, except for columns without a name.
    :param all_needed: whether all columns must exist.
    :raises UnknownColumn: a column does not exist.
    """
    whole = _find_column(expression, names)
    if whole is not None:
        return (whole,)
    found = []
    for name in expression.split("+"):
        index = _find_column(name, names)
        if index is not None:
            found.append(index)
        elif all_needed:
            raise UnknownColumn(f"--map names a column that the file does not have: {name.strip()!r}.")
    return tuple(found)


def _find_column(name: str, names: Sequence[str]) -> int | None:
    exact = name.strip()
    if exact and exact in names:
        return names.index(exact)
    if exact.startswith("#") and exact[1:].isdecimal():
        number = int(exact[1:]) if len(exact) < 8 else 0
        return number - 1 if 0 < number <= len(names) else None
    normal = normalize_label(name)
    found = [index for index, other in enumerate(names) if normal and normalize_label(other) == normal]
    if len(found) > 1:
        raise UnknownColumn(f"--map {exact!r} stands for several columns. Use their numbers, such as #{found[0] + 1}.")
    return found[0] if found else None


def _is_attribute(name: str) -> bool:
    # Arguments of a command that are not valid in the encoding of the terminal contain surrogates.
    is_text = name.encode(errors="ignore").decode() == name
    return bool(Attributes.named.fullmatch(name)) and is_text
