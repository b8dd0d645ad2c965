"""How the slots of a dispatcher are shared among destinations."""

from leadapi.destinations.slots import Slots

HEALTHY, FAILING = False, True


def test_one_destination_gets_a_quarter_of_the_slots() -> None:
    slots = Slots(16)

    first = slots.shares({1: HEALTHY}, most=16)
    take(slots, first)
    second = slots.shares({1: HEALTHY, 2: HEALTHY}, most=16)

    assert first == {1: 4}
    assert second == {2: 4}


def test_failing_destinations_get_half_of_the_slots_together() -> None:
    slots = Slots(16)
    failing = dict.fromkeys(range(1, 10), FAILING)

    shares = slots.shares(failing, most=16)
    take(slots, shares, is_failing=True)

    assert sum(shares.values()) == 8
    assert slots.shares(failing | {10: HEALTHY}, most=16) == {10: 4}


def test_a_single_slot_serves_every_destination_in_turn() -> None:
    slots = Slots(1)
    waiting = {1: HEALTHY, 2: FAILING, 3: HEALTHY}
    served = []

    for _ in range(6):
        [destination] = slots.shares(waiting, most=1)
        slots.take(destination, is_failing=waiting[destination])
        assert slots.shares(waiting, most=1) == {}
        slots.free(destination)
        served.append(destination)

    assert served == [1, 2, 3, 1, 2, 3]


def test_a_pass_starts_no_more_than_it_may_and_the_next_one_goes_on() -> None:
    slots = Slots(16)
    waiting = dict.fromkeys((1, 2, 3), HEALTHY)

    first, second = slots.shares(waiting, most=2), slots.shares(waiting, most=2)

    assert (first, second) == ({1: 1, 2: 1}, {3: 1, 1: 1})


def test_slots_are_free_again_after_an_attempt() -> None:
    slots = Slots(4)
    slots.take(1, is_failing=True)
    assert slots.shares({1: FAILING}, most=4) == {}

    slots.free(1)

    assert slots.taken == 0
    assert slots.shares({1: HEALTHY}, most=4) == {1: 1}


def take(slots: Slots, shares: dict[int, int], *, is_failing: bool = False) -> None:
    """Begin these attempts."""
    for destination, share in shares.items():
        for _ in range(share):
            slots.take(destination, is_failing=is_failing)
