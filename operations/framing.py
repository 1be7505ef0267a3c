"""Which part of a picture is looked at, which part is delivered, and where in it the subject goes.

A model with several masks gives several cutouts of one picture. Their subject is what can be seen in any of them, and
all are framed alike, so that they still lie over one another. For child processes only.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from errors import PictureError
from operations import layers, marks, resizing
from operations.box import Box, Sides, in_pixels, whole
from operations.layers import Pixels
from operations.params import Params, lengths
from operations.picture import Picture
from operations.shadow import Shadow

if TYPE_CHECKING:
    from models.sessions import Prediction, Session

# What is fainter, a twentieth, is no part of the subject: models leave a breath of it anywhere in the background.
_FAINTEST = 13
# How many times the pixels that a picture may have its result may have: what fits into a child's memory.
_MOST_GROWTH = 2


@dataclass(frozen=True)
class Frame:
    """What is delivered: a window on the picture, which is all of it unless there is a subject to look for.

    The subject is where it is in the picture; it may be given a new place in the window.
    """

    window: Box
    subject: Box | None = None
    place: Box | None = None
    # Beyond which of its sides a subject that touches them goes on, since the picture cuts it off there.
    goes_on: Sides = (True, True, True, True)


def predict(session: "Session", picture: Picture, params: Params) -> "Prediction":
    """What the model sees, or what it sees of a region (x1 y1 x2 y2): all else is background then.

    Pixels, those of marks for the model sam too, are those of the file. Raises PictureError (invalid_roi).
    """
    pointed = marks.read(params.sam_prompt) if params.sam_prompt else []
    if params.roi is None:
        return session.predict(picture.rgba, marks.for_rembg(pointed, picture.shrunk_to, 0, 0))
    box = _region(params.roi, picture)
    seen = session.predict(box.of(picture.rgba).copy(), marks.for_rembg(pointed, picture.shrunk_to, box.left, box.top))
    masks = []
    for mask in seen.masks:
        masks.append(np.zeros(picture.rgba.shape[:2], np.uint8))
        box.of(masks[-1])[:] = mask
    return replace(seen, masks=masks)


def is_asked(params: Params) -> bool:
    return params.crop or params.scale is not None or params.position not in (None, "original")


def frame(cutouts: Sequence[Pixels], shadow: Shadow | None, params: Params, most_pixels: int) -> Frame:
    """The whole picture, if nothing else is asked for or there is nothing to be seen; `most_pixels` are a picture's.

    With `crop` it is the subject with its shadow, and margins that may reach beyond the picture; per cent are those of
    the subject's height, for top and bottom, or width. `scale` and `position` then mean this window.
    Raises PictureError (too_many_pixels).
    """
    picture = window = whole(cutouts[0])
    subject = _subject(cutouts) if is_asked(params) else None
    if subject is None:
        return Frame(window)
    cut_off = subject.reaches(picture)
    if params.crop:
        margins = _margins(params.crop_margin, subject)
        # Room beyond the picture's edge would show that it cuts the subject off there; a margin has asked for it.
        top, right, bottom, left = (cut and not margin for cut, margin in zip(cut_off, margins, strict=True))
        visible = subject if shadow is None else shadow.around(subject, (top, right, bottom, left))
        window = visible.grown(*margins)
        if window.width * window.height > _MOST_GROWTH * most_pixels:
            raise PictureError(
                "too_many_pixels",
                f"With its margin and shadow the result would have {window.width} × {window.height} pixels; more than "
                f"{_MOST_GROWTH * most_pixels / 1e6:,.10g} megapixels are not made: ask for a smaller crop_margin, "
                "shadow or size.",
            )
    place = _place(window, subject, params)
    seen = subject if place is None else place.moved(window.left, window.top)
    top, right, bottom, left = (cut and edge for cut, edge in zip(cut_off, seen.reaches(window), strict=True))
    return Frame(window, subject, place, (top, right, bottom, left))


def framed(cutout: Pixels, frame: Frame) -> Pixels:
    """The cutout as the frame shows it."""
    if frame.subject is None or frame.place is None:
        return layers.seen_through(frame.window, cutout, beyond=cv2.BORDER_CONSTANT)
    canvas = np.zeros((frame.window.height, frame.window.width, 4), np.uint8)
    subject = resizing.resize(frame.subject.of(cutout), frame.place.width, frame.place.height, opaque=False)
    frame.place.of(canvas)[:] = subject
    return canvas


def notes(frame: Frame, params: Params) -> dict[str, object]:
    """Where the subject is in the picture (left, top, right, bottom), when its place was asked for."""
    return {"subject_box": frame.subject and list(astuple(frame.subject))} if is_asked(params) else {}


def _region(text: str, picture: Picture) -> Box:
    height, width = picture.rgba.shape[:2]
    lengths_now = [
        (number if relative else number * picture.shrunk_to, relative) for number, relative in lengths(text, (4,))
    ]
    corners = [in_pixels(length, side) for length, side in zip(lengths_now, (width, height) * 2, strict=True)]
    box = Box(*corners).shared(whole(picture.rgba))
    if box.width < 1 or box.height < 1:
        raise PictureError(
            "invalid_roi",
            f"The region {text!r} holds nothing of this picture: give x1 y1 x2 y2, its upper left and its lower right "
            "corner, in pixels of the upright picture or in %.",
        )
    return box


def _subject(cutouts: Sequence[Pixels]) -> Box | None:
    """Where anything is to be seen."""
    alphas = [layers.alpha(cutout) for cutout in cutouts]
    rows = np.flatnonzero(np.max([alpha.max(axis=1) for alpha in alphas], axis=0) >= _FAINTEST)
    columns = np.flatnonzero(np.max([alpha.max(axis=0) for alpha in alphas], axis=0) >= _FAINTEST)
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1) if rows.size else None


def _margins(text: str, subject: Box) -> tuple[int, int, int, int]:
    """At the top, right, bottom and left."""
    margins = lengths(text, (1, 2, 4))
    sides = (subject.height, subject.width) * 2
    top, right, bottom, left = map(in_pixels, margins * (4 // len(margins)), sides)
    return top, right, bottom, left


def _place(window: Box, subject: Box, params: Params) -> Box | None:
    """Within the window: the subject's new size at its new position."""
    where = params.position or ("original" if params.scale is None else "center")
    if params.scale is None and where == "original":
        return None
    factor = 1.0
    if params.scale is not None:
        factor = params.scale / 100 * min(window.width / subject.width, window.height / subject.height)
    width, height = max(1, round(subject.width * factor)), max(1, round(subject.height * factor))
    room_across, room_down = window.width - width, window.height - height
    if where == "original":  # its middle stays, as far as there is room
        left = max(0, min(room_across, round((subject.left + subject.right - width) / 2) - window.left))
        top = max(0, min(room_down, round((subject.top + subject.bottom - height) / 2) - window.top))
    else:
        shares = [share / 100 for share, _ in lengths("50%" if where == "center" else where, (1, 2))]
        left, top = round(room_across * shares[0]), round(room_down * shares[-1])
    return Box(left, top, left + width, top + height)
