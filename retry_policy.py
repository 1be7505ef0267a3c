"""When to try again: exponential backoff with full jitter."""

BASE_SECONDS = 2.0
LONGEST_SECONDS = 300.0


def delay_seconds(attempts: int, fraction: float) -> float:
    """Seconds to wait after `attempts` failed ones; `fraction` is a random number in [0, 1).

    Full jitter as measured best in "Exponential Backoff And Jitter", Marc Brooker, AWS Architecture Blog, 2015.
    """
    return fraction * min(LONGEST_SECONDS, BASE_SECONDS * 2.0 ** (attempts - 1))
