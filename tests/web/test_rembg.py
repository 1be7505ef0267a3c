"""What is written for rembg's own server works here: its address, its parameters, its answer."""

import json

import pytest
import requests

from operations.params import Params
from tests.queues import CUTOUT, PICTURE, finish, stored
from tests.web.shapes import problem
from tests.web.site import Site
from tests.web.waiters import asking, claimed


def remove(site: Site, query: str = "", **fields: str) -> requests.Response:
    files = {"file": ("cat.png", PICTURE)}
    return requests.post(f"{site.url}/api/remove{query}", files=files, data=fields, timeout=30)


def asked_for(site: Site, query: str = "", **fields: str) -> dict[str, object]:
    """What the child is told; the answer must be the result."""
    with asking(lambda: remove(site, query, **fields)) as answer:
        (lease,) = claimed(site)
        finish(site.queue, lease)
        assert (answer.result().status_code, answer.result().content) == (200, CUTOUT)
    assert lease.file.priority == "high"
    return dict(lease.file.params)


def test_a_picture_comes_back_as_png(site: Site) -> None:
    told = asked_for(site)
    assert (told["model"], told["format"], told.get("output", "cutout")) == ("u2net", "png", "cutout")


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"model": "u2netp"}, {"model": "u2netp"}),
        ({"a": "true"}, {"alpha_matting": True}),
        (
            {"a": "1", "af": "250", "ab": "5", "ae": "20"},
            {
                "alpha_matting": True,
                "alpha_matting_foreground_threshold": 250,
                "alpha_matting_background_threshold": 5,
                "alpha_matting_erode_size": 20,
            },
        ),
        ({"a": "false"}, {}),
        ({"om": "True"}, {"output": "mask"}),
        ({"om": "no"}, {}),
        ({"ppm": "on"}, {"post_process_mask": True}),
        ({"dc": "true"}, {"decontaminate": True}),
        ({"vm": "false"}, {}),
        ({"bgc": "255,0,0,255"}, {"background_color": "255,0,0,255"}),
        ({"extras": "{}"}, {}),
        ({"model": "", "a": "", "bgc": "", "extras": ""}, {}),
    ],
    ids=str,
)
def test_each_parameter_means_the_same(site: Site, fields: dict[str, str], params: dict[str, object]) -> None:
    told = asked_for(site, **fields)
    assert told == {"model": "u2net", "format": "png", "png_compression": "fast", **params}
    assert Params.model_validate(told)


def test_prompts_for_sam_are_handed_on(site: Site) -> None:
    prompt = [{"type": "point", "data": [724, 740], "label": 1}]
    told = asked_for(site, model="sam", extras=json.dumps({"sam_prompt": prompt}))
    assert json.loads(str(told["sam_prompt"])) == prompt


def test_the_colour_comes_in_the_query_as_there(site: Site) -> None:
    assert asked_for(site, "?bgc=1,2,3,4")["background_color"] == "1,2,3,4"


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"vm": "maybe"}, "vitmatte"),
        ({"a": "maybe"}, "alpha_matting"),
        ({"om": "maybe"}, "om"),
        ({"af": "256"}, "alpha_matting_foreground_threshold"),
        ({"bgc": "red-ish"}, "background_color"),
        ({"extras": "{"}, "extras"),
        ({"extras": "[]"}, "extras"),
        ({"extras": '{"api_key": 1}'}, "extras"),
        ({"extras": '{"\\ud800": 1}'}, "extras"),
        ({"extras": "[" * 20_000}, "extras"),
        ({"extras": '{"sam_prompt": ' + "[" * 5000 + "]" * 5000 + "}"}, "extras"),
        ({"quality": "9"}, "quality"),
    ],
    ids=lambda told: str(told)[:40],
)
def test_what_cannot_be_had_is_refused_by_name(site: Site, fields: dict[str, str], parameter: str) -> None:
    told = problem(remove(site, **fields), 422, "invalid_request")
    assert told["parameter"] == parameter
    assert parameter in told["detail"]
    assert stored(site.queue.storage) == []


def test_a_model_that_is_unknown_is_refused(site: Site) -> None:
    problem(remove(site, model="best"), 422, "unknown_model")


def test_an_address_in_the_query(site: Site) -> None:
    address = "http://127.0.0.1/cat.png"
    told = problem(site.get(f"/api/remove?url={address}&a=true"), 422, "invalid_files")
    assert [entry["code"] for entry in told["rejected"]] == ["forbidden_url"]
    assert problem(site.get("/api/remove?a=true"), 422, "invalid_request")["parameter"] == "url"
