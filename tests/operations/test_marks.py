import json

import pytest
from pydantic import ValidationError

from operations.marks import for_rembg, read
from operations.params import Params

POINT = {"type": "point", "data": [10, 20.5], "label": 1}
RECTANGLE = {"type": "rectangle", "data": [1, 2, 30, 40], "label": 2}


def test_points_and_rectangles_stay_as_rembg_takes_them() -> None:
    marks = for_rembg(read(json.dumps([POINT, {**POINT, "label": 0}, RECTANGLE])), 1.0, 0, 0)
    assert [(mark["type"], mark["label"]) for mark in marks] == [("point", 1), ("point", 0), ("rectangle", 2)]
    assert [mark["data"] for mark in marks] == [[10, 20.5], [10, 20.5], [1, 2, 30, 40]]


def test_they_move_with_the_picture() -> None:
    marks = for_rembg(read(json.dumps([POINT, RECTANGLE])), 0.5, 1, 2)
    assert [mark["data"] for mark in marks] == [[4, 8.25], [-0.5, -1, 14, 18]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "here",
        "{}",
        "[]",
        "[1]",
        "null",
        json.dumps(POINT),
        json.dumps([{"type": "circle", "data": [1, 2], "label": 1}]),
        json.dumps([{"type": "point", "data": [1, 2]}]),
        json.dumps([{**POINT, "label": 2}]),
        json.dumps([{**POINT, "data": [1]}]),
        json.dumps([{**POINT, "data": [1, 2, 3]}]),
        json.dumps([{**POINT, "data": [-1, 2]}]),
        json.dumps([{**POINT, "data": ["x", 2]}]),
        '[{"type": "point", "data": [NaN, 2], "label": 1}]',
        '[{"type": "point", "data": [1e999, 2], "label": 1}]',
        json.dumps([{**RECTANGLE, "data": [30, 2, 1, 40]}]),
        json.dumps([{**RECTANGLE, "data": [1, 2, 30, 2]}]),
        json.dumps([{**POINT, "size": 3}]),
        json.dumps([POINT] * 101),
        "[" * 5_000,
    ],
)
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Params(model="sam", sam_prompt=text)
    (error,) = refusal.value.errors()
    assert error["loc"] == ("sam_prompt",)
    assert '[{"type": "point", "data": [120, 80], "label": 1}]' in error["msg"]
    assert "\n" not in error["msg"]
    assert len(error["msg"]) < 400


def test_the_place_of_the_mistake_is_told() -> None:
    with pytest.raises(ValidationError, match=r"1\.rectangle\.data is not: .*x1 must be smaller than x2"):
        Params(model="sam", sam_prompt=json.dumps([POINT, {**RECTANGLE, "data": [30, 2, 1, 40]}]))


@pytest.mark.parametrize("model", ["u2net", "u2netp", "birefnet-general"])
def test_other_models_refuse_it_by_name(model: str) -> None:
    with pytest.raises(ValidationError, match=f"sam_prompt is for the model sam; {model} finds the subject by itself"):
        Params(model=model, sam_prompt=json.dumps([POINT]))
    assert Params(model="sam", sam_prompt=json.dumps([POINT])).sam_prompt
