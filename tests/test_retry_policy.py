import pytest

from retry_policy import BASE_SECONDS, LONGEST_SECONDS, delay_seconds

ALMOST_ONE = 1 - 2**-53


@pytest.mark.parametrize(("attempts", "longest"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (50, 300)])
def test_the_longest_wait_doubles_with_each_attempt_up_to_a_limit(attempts: int, longest: float) -> None:
    assert delay_seconds(attempts, ALMOST_ONE) == pytest.approx(longest)


def test_the_wait_is_spread_over_everything_from_nothing_on() -> None:
    waits = [delay_seconds(4, fraction / 8) for fraction in range(8)]
    assert waits == [0, 2, 4, 6, 8, 10, 12, 14]


def test_many_attempts_do_not_overflow() -> None:
    assert delay_seconds(1000, ALMOST_ONE) <= LONGEST_SECONDS
    assert BASE_SECONDS < LONGEST_SECONDS
