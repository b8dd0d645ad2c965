"""The slots of a dispatcher: how many attempts may run at the same time, and for which destinations.

A receiver that hangs holds its slots for the length of an attempt. So one destination gets at most a quarter of them,
and all destinations that are failing get at most half.
"""

from collections import Counter
from collections.abc import Mapping


class Slots:
    """Counts the attempts that are running.

    :param total: how many may run at the same time.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken: Counter[int] = Counter()
        self._failing: set[int] = set()
        # The number of the turn in which each destination got a slot last.
        self._served: dict[int, int] = {}
        self._turn = 0

    @property
    def taken(self) -> int:
        """How many attempts are running."""
        return self._taken.total()

    def take(self, destination_id: int, *, is_failing: bool) -> None:
        """Count an attempt that begins."""
        self._taken[destination_id] += 1
        if is_failing:
            self._failing.add(destination_id)

    def free(self, destination_id: int) -> None:
        """Count an attempt that has ended."""
        self._taken[destination_id] -= 1
        if not self._taken[destination_id]:
            del self._taken[destination_id]
            self._failing.discard(destination_id)

    def shares(self, waiting: Mapping[int, bool], most: int) -> dict[int, int]:
        """How many attempts each destination may begin now.

        :param waiting: the destinations with something to send, and whether they are failing.
        :param most: how many attempts may begin in all.
        """
        self._turn += 1
        free = min(most, self._total - self.taken)
        quarter = max(1, self._total // 4)
        failing = max(1, self._total // 2) - sum(self._taken[each] for each in self._failing)
        shares: Counter[int] = Counter()
        # Those that have waited longest come first, and nobody gets a second slot before all have one.
        order = sorted(waiting, key=lambda each: self._served.get(each, 0))
        while free > 0:
            before = free
            for each in order:
                is_failing = waiting[each]
                if free and self._taken[each] + shares[each] < quarter and (failing > 0 or not is_failing):
                    shares[each] += 1
                    free -= 1
                    failing -= is_failing
            if free == before:
                break
        self._served |= dict.fromkeys(shares, self._turn)
        return {each: share for each, share in shares.items() if share}
