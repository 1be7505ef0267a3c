"""What may be asked for: every door checks with these, and shows their sentences to people."""

from typing import Any

import pytest
from pydantic import ValidationError

from operations.background_removal import BackgroundRemoval
from operations.params import REFINEMENTS, Params, colour, lengths


def params(**options: Any) -> Params:
    return Params.model_validate({"model": "u2netp", **options})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30", [(30, False)]),
        ("30px", [(30, False)]),
        ("7.5%", [(7.5, True)]),
        ("1 2px 3% 4", [(1, False), (2, False), (3, True), (4, False)]),
        ("1,2%, 3 ,4px", [(1, False), (2, True), (3, False), (4, False)]),
        ("-3 -2.5%", [(-3, False), (-2.5, True)]),
        ("  5  ", [(5, False)]),
    ],
)
def test_lengths(text: str, found: list[tuple[float, bool]]) -> None:
    assert lengths(text, (len(found),)) == found


@pytest.mark.parametrize(
    "text", ["", "px", "3em", "3 px", "1 2 3", "١", "1e3", "nan", "inf%", "+3", "1.23456", "1234567"]
)
def test_no_lengths(text: str) -> None:
    with pytest.raises(ValueError, match="1 or 2 lengths in px or % are wanted"):
        lengths(text, (1, 2))


@pytest.mark.parametrize(
    ("text", "rgba"),
    [
        ("white", (255, 255, 255, 255)),
        ("DarkOrange", (255, 140, 0, 255)),
        ("f80", (255, 136, 0, 255)),
        ("#f80", (255, 136, 0, 255)),
        ("f808", (255, 136, 0, 136)),
        ("ff8800", (255, 136, 0, 255)),
        ("#FF880040", (255, 136, 0, 64)),
        ("1,2,3", (1, 2, 3, 255)),
        ("1, 2, 3, 0", (1, 2, 3, 0)),
        ("transparent", (0, 0, 0, 0)),
    ],
)
def test_colours(text: str, rgba: tuple[int, int, int, int]) -> None:
    assert colour(text) == rgba
    assert params(background_color=text).background_color == text


@pytest.mark.parametrize("text", ["", "nocolour", "12345", "1,2", "1,2,3,256", "1,2,3,4,5", "-1,2,3", "#ggg", "1,2,x"])
def test_no_colours(text: str) -> None:
    with pytest.raises(ValidationError, match="is no colour: use a name such as white"):
        params(background_color=text)


GOOD: dict[str, list[object]] = {
    "roi": ["0 0 100% 100%", "10px 20px 30px 40px", "0,0,1,1", "10 10 50% 50%", "90% 10 10 50%"],
    "crop_margin": ["0", "30px", "10%", "10% 20px", "1 2 3 4"],
    "position": ["original", "center", "0%", "100%", "10% 90%"],
    "shadow_blur": ["0", "5px", "100%"],
    "shadow_offset": ["0 0", "-5% 10px"],
    "scale": [10, 100, "50"],
    "max_megapixels": [0.01, "12.5"],
    "background_blur": [0.5, 100],
    "background_image": ["0" * 64],
}
BAD: dict[str, list[object]] = {
    "roi": ["", "0 0 100%", "-1 0 10 10", "10 0 10 50", "0 50% 10% 50%", "0 9 9 8"],
    "crop_margin": ["", "1 2 3", "-1", "1 2 3 4 5", "ten"],
    "position": ["", "left", "10px", "10% 101%", "-1%", "1% 2% 3%", "centre"],
    "shadow_blur": ["", "-1", "1 2"],
    "shadow_offset": ["", "1", "1 2 3"],
    "scale": [9, 101, "50%", 50.5],
    "max_megapixels": [0, -1, "nan", "inf"],
    "background_blur": [0, 101],
    "background_image": ["", "0" * 63, "../../etc/passwd", "G" * 64],
    "quality": [0, 101],
    "size": ["tiny", "4k"],
    "output": ["alpha"],
    "format": ["gif"],
    "png_compression": ["best"],
    "shadow_opacity": [-1, 101],
    "sizee": ["full"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_what_is_taken(name: str, value: object) -> None:
    needed = {REFINEMENTS[name]: True} if name in REFINEMENTS else {}
    params(**{name: value}, **needed)


@pytest.mark.parametrize("name", REFINEMENTS)
def test_what_only_refines_something_else_is_refused_without_it(name: str) -> None:
    value = 10 if name == "shadow_opacity" else "1 1" if name == "shadow_offset" else "1"
    with pytest.raises(ValidationError, match=f"{name} does nothing without {REFINEMENTS[name]}"):
        params(**{name: value})
    with pytest.raises(ValidationError, match="does nothing"):
        params(**{name: value, REFINEMENTS[name]: False})


def test_a_jpeg_may_be_called_so() -> None:
    assert params(format="jpeg").format == "jpg"


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_what_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as raised:
        params(**{name: value})
    (error,) = raised.value.errors()
    assert error["loc"] == (name,)


def test_only_one_background_fits_behind_a_subject() -> None:
    with pytest.raises(ValidationError, match="background_color and background_blur"):
        params(background_color="white", background_blur=5)
    with pytest.raises(ValidationError, match="background_image"):
        params(background_image="0" * 64, background_blur=5)


def test_the_smaller_limit_counts() -> None:
    assert params().most_pixels is None
    assert params(size="preview").most_pixels == 250_000
    assert params(size="hd", max_megapixels=1.25).most_pixels == 1_250_000
    assert params(size="medium", max_megapixels=9).most_pixels == 1_500_000
    assert params(max_megapixels=1e-9).most_pixels == 1


def test_jobs_of_earlier_versions_are_understood() -> None:
    assert BackgroundRemoval.Params.model_validate({"model": "u2net", "png_compression": "small"}) == params(
        model="u2net", png_compression="small"
    )


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, set()),
        ({"crop": True, "scale": 50, "size": "hd"}, set()),
        ({"post_process_mask": True}, {"post_process_mask"}),
        ({"decontaminate": True}, {"decontaminate"}),
        ({"alpha_matting": True}, {"alpha_matting", "decontaminate"}),
        ({"vitmatte": True}, {"vitmatte", "decontaminate"}),
        ({"vitmatte": True, "alpha_matting": True}, {"vitmatte", "decontaminate"}),
        ({"shadow": True, "background_color": "white"}, {"shadow", "background"}),
        ({"background_blur": 5}, {"background"}),
        ({"background_image": "0" * 64}, {"background"}),
    ],
    # A set is written in another order by each process.
    ids=lambda value: "+".join(sorted(value)) or "nothing",
)
def test_nothing_is_done_that_a_mask_would_not_show(options: dict[str, Any], steps: set[str]) -> None:
    for output in ("cutout", "both", "layers"):
        assert params(output=output, **options).steps == steps
    assert params(output="mask", **options).steps == steps - {"decontaminate", "shadow", "background"}
