"""The short run of bench/mutated_pictures.py: damage of every kind to pictures of every format."""

from pathlib import Path

from bench.mutated_pictures import BOMB_EVERY, DAMAGES, attack, bomb, mutated, sources
from tests.service import running

PICTURES = BOMB_EVERY + 50


def test_every_mutated_picture_ends_with_a_result_or_a_reason(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.wait_until("/ready")
        figures = attack(service, range(PICTURES))
    assert figures.faults == []
    assert sum(figures.outcomes.values()) == PICTURES
    kinds = {kind for kind, _ in figures.outcomes}
    assert kinds == {*(damage.__name__ for damage in DAMAGES), bomb.__name__}
    assert {outcome.partition(":")[0] for _, outcome in figures.outcomes} == {"completed", "failed", "refused"}


def test_every_format_is_damaged_in_every_way() -> None:
    names = {mutated(number)[0].split(" ", 1)[1] for number in range(1, 2 * len(DAMAGES) * len(sources()))}
    assert {f"{damage.__name__} {kind}" for damage in DAMAGES for kind in sources()} <= names
