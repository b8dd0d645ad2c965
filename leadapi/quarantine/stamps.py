"""The time at which a page was shown, signed: `<unix seconds>.<hexadecimal HMAC-SHA256 of these digits>`.

Whoever has the secret can make one, in any language, so pages that a server makes need not ask for it.
"""

import hmac
import re
import time
from dataclasses import dataclass, field

# How long a page may stand open. Who has a good time can use it again for so long, and wait no more.
LONGEST_SECONDS = 86400

_shape = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


@dataclass(frozen=True)
class Stamps:
    """What makes such times and judges them.

    :param min_seconds: what nobody takes less for to fill a form.
    """

    secret: str = field(repr=False)
    min_seconds: int

    def make(self) -> str:
        """The time it is."""
        seconds = str(int(time.time()))
        return f"{seconds}.{self._sign(seconds)}"

    def accepts(self, text: str | None) -> bool:
        """Whether a page with this was shown long enough ago, and not too long."""
        found = _shape.fullmatch(text or "")
        if found is None:
            return False
        seconds, signature = found.groups()
        # In a time that does not depend on where they differ.
        if not hmac.compare_digest(signature, self._sign(seconds)):
            return False
        return self.min_seconds <= time.time() - int(seconds) <= LONGEST_SECONDS

    def _sign(self, seconds: str) -> str:
        return hmac.digest(self.secret.encode(), seconds.encode(), "sha256").hex()
