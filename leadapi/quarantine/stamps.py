"""Stamps: the signed time at which a page was shown, `<unix seconds>.<hexadecimal HMAC-SHA256 of these digits>`.

A server that has the secret can stamp its own pages, in any language, without a request to this service.
"""

import hmac
import re
import time
from dataclasses import dataclass, field

# The lifetime of a stamp, and so of an open page. A valid stamp can be reused until it expires.
MAX_SECONDS = 86400

_shape = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


@dataclass(frozen=True)
class Stamps:
    """Makes and checks stamps.

    :param min_seconds: the least time in which a person fills a form.
    """

    secret: str = field(repr=False)
    min_seconds: int

    def make(self) -> str:
        """A stamp of the current time."""
        seconds = str(int(time.time()))
        return f"{seconds}.{self._sign(seconds)}"

    def accepts(self, text: str | None) -> bool:
        """Whether the text is a genuine stamp, at least `min_seconds` and at most `MAX_SECONDS` old."""
        found = _shape.fullmatch(text or "")
        if found is None:
            return False
        seconds, signature = found.groups()
        # The comparison takes constant time, so that its duration does not help to guess a signature.
        if not hmac.compare_digest(signature, self._sign(seconds)):
            return False
        return self.min_seconds <= time.time() - int(seconds) <= MAX_SECONDS

    def _sign(self, seconds: str) -> str:
        return hmac.digest(self.secret.encode(), seconds.encode(), "sha256").hex()
