"""Types of the settings that say how long data is kept."""

import re
from datetime import timedelta
from typing import Any

from marshmallow import ValidationError, fields

from leadapi.config_fields import NONE, WholeNumber

# How far a lead can have come. The statuses stand here because a setting names them.
STATUSES = ["new", "contacted", "qualified", "converted", "lost"]
# A hundred years.
MAX_DAYS = 36500


class OptionalHour(WholeNumber):
    """An hour of the day, or `none`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(0, 23, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value == NONE:
            return None
        try:
            return super()._deserialize(value, attr, data, **kwargs)
        except ValidationError as exc:
            raise ValidationError("must be none or an hour from 0 to 23.") from exc


class Ages(fields.Field[tuple[tuple[str, timedelta], ...]]):
    """Statuses with a number of days, such as lost:90d,new:730d; `none` for none."""

    default_error_messages = {
        "invalid": "must be none or statuses with numbers of days, such as lost:90d,new:730d; a status is "
        f"{', '.join(STATUSES[:-1])} or {STATUSES[-1]}."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value == NONE:
            return ()
        ages = {}
        for part in value.split(","):
            found = re.fullmatch(r"([a-z]+):([0-9]{1,5})d", part.strip())
            if not found or found[1] not in STATUSES or found[1] in ages or not 1 <= int(found[2]) <= MAX_DAYS:
                raise self.make_error("invalid")
            ages[found[1]] = timedelta(days=int(found[2]))
        return tuple(ages.items())
