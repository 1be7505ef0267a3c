"""Finer edges for hair and fur: closed-form matting, as rembg does it, in bounded time and memory.

rembg solves a system with an equation for every unknown pixel of the whole photo, which takes minutes and gigabytes
for a large one. Here it is solved for a picture of at most WORKING_PIXELS around the edges, and what it found is
carried over to the photo by a guided filter (He and Sun, "Fast Guided Filter", 2015): in each neighbourhood alpha is a
linear function of colour, and that function takes the photo's own colours as well.
"""

from contextlib import redirect_stdout
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray
from pymatting.laplacian.cf_laplacian import cf_laplacian
from pymatting.preconditioner.ichol import ichol
from scipy.sparse.linalg import LinearOperator, cg

from operations.box import Box, whole
from operations.tiles import bounds, enlarged, reduced, tiles

Pixels = NDArray[np.uint8]
Levels = NDArray[np.float32]

UNKNOWN = 128
WORKING_PIXELS = 300_000
# Time and memory grow with these; most pictures have fewer of them at that size.
MOST_UNKNOWN = 150_000
# What one unknown pixel may cost the preconditioner: entries of 16 bytes each.
MOST_ENTRIES = 120
# Added to the diagonal, so that the preconditioner exists: hardly ever is the first one too small.
SHIFTS = (1e-4, 1e-3, 1e-2, 0.1, 1.0)
# Hair and fur take 5 to 20.
MOST_ITERATIONS = 50
# Of the residual, relative to the right side; alpha has 256 levels.
TOLERANCE = 1e-6
RADIUS = 2
REGULARISATION = 1e-5
# Pixels whose colours the equations of a pixel look at, in each direction.
REACH = 2


def trimap(mask: Pixels, foreground_threshold: int, background_threshold: int, erode_size: int) -> Pixels:
    """255 where a mask is surely subject, 0 where it is surely background, UNKNOWN elsewhere; exactly rembg's."""
    subject = _stepped_back(mask > foreground_threshold, erode_size, outside=0)
    background = _stepped_back(mask < background_threshold, erode_size, outside=255)
    sure = np.full_like(mask, UNKNOWN)
    sure[subject > 0] = 255
    sure[background > 0] = 0
    return sure


def matte(rgba: Pixels, sure: Pixels) -> Pixels | None:
    """The alpha of a trimap: what it is sure of, and elsewhere what is found from the colours.

    None when there is nothing to go by: no pixel that is surely subject, or none that is surely background, or no
    solution.
    """
    unknown = np.asarray(cv2.inRange(sure, np.array(UNKNOWN), np.array(UNKNOWN)), np.uint8)
    refined = np.asarray(cv2.copyTo(sure, ~unknown), np.uint8)
    if not cv2.hasNonZero(unknown):
        return refined
    box, pixels = _working_size(unknown)
    small = reduced(box.of(rgba), pixels)[..., :3].astype(np.float64) / 255
    # Sure are only those pixels of the small picture all of which is sure.
    alpha = _solved(
        small,
        reduced(box.of(refined), pixels) == 255,
        reduced(box.of(sure), pixels) == 0,
    )
    if alpha is None:
        return None
    if alpha.shape == (box.height, box.width):
        _fill_in(np.rint(alpha * 255).astype(np.uint8), box.of(unknown), box.of(refined))
        return refined
    slopes = _slopes(small.astype(np.float32), alpha)
    for tile in tiles(box.of(unknown)):
        place = tile.moved(box.left, box.top)
        colours = place.of(rgba)[..., :3].astype(np.float32) / 255
        slope = enlarged(slopes, (box.height, box.width), tile)
        guessed = (slope[..., :3] * colours).sum(axis=2) + slope[..., 3]
        levels = np.rint(np.clip(guessed, 0, 1) * 255).astype(np.uint8)
        _fill_in(levels, place.of(unknown), place.of(refined))
    return refined


def _fill_in(levels: Pixels, unknown: Pixels, refined: Pixels) -> None:
    refined[:] = np.where(unknown, levels, refined)


def _stepped_back(sure: NDArray[np.bool_], pixels: int, outside: int) -> Pixels:
    """Where all around is sure, 255; what lies outside of the picture counts as `outside`."""
    shape = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)) if pixels == 0 else np.ones((pixels, pixels), np.uint8)
    levels = sure.view(np.uint8) * np.uint8(255)
    return np.asarray(cv2.erode(levels, shape, borderType=cv2.BORDER_CONSTANT, borderValue=(outside,)), np.uint8)


def _working_size(unknown: Pixels) -> tuple[Box, int]:
    """What has to be seen to solve for the unknown pixels, and how many pixels of it at most."""
    box = bounds(unknown)
    area = box.width * box.height
    pixels = min(WORKING_PIXELS, area * MOST_UNKNOWN // cv2.countNonZero(unknown))
    margin = ceil((REACH + RADIUS) * max(1.0, (area / pixels) ** 0.5))
    return box.grown(*[margin] * 4).shared(whole(unknown)), pixels


def _solved(colours: NDArray[np.float64], subject: NDArray[np.bool_], background: NDArray[np.bool_]) -> Levels | None:
    """Alpha, 0 to 1, of a whole small picture; None when that cannot be told."""
    # Three pixels are the narrowest picture in which a pixel has neighbours on each side.
    if not subject.any() or not background.any() or min(subject.shape) < 2 * REACH - 1:
        return None
    known = (subject | background).ravel()
    unknown = ~known
    rows = cf_laplacian(colours, is_known=known)[unknown]
    matrix = rows[:, unknown].tocsc()
    wanted = -rows[:, known] @ subject.ravel()[known].astype(np.float64)
    try:
        with redirect_stdout(None):  # where it prints what it tries
            precondition = ichol(matrix, shifts=SHIFTS, max_nnz=MOST_ENTRIES * matrix.shape[0])
    except ValueError:  # it found none that is small enough, or positive
        return None
    operator = LinearOperator(matrix.shape, precondition, dtype=matrix.dtype)
    # Whether it converged makes no difference: each step is nearer to the solution than the one before.
    found, _ = cg(matrix, wanted, rtol=TOLERANCE, maxiter=MOST_ITERATIONS, M=operator)
    if not np.isfinite(found).all():
        return None
    alpha = subject.astype(np.float32)
    alpha[unknown.reshape(alpha.shape)] = np.clip(found, 0, 1)
    return alpha


def _slopes(colours: Levels, alpha: Levels) -> Levels:
    """The guided filter: alpha is the sum of the first three, times the colours, and the fourth; smoothed."""

    def mean(values: Levels) -> Levels:
        side = 2 * RADIUS + 1
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    centre, level = mean(colours), mean(alpha)[..., None]
    products = (colours[..., :, None] * colours[..., None, :]).reshape(*alpha.shape, 9)
    spread = mean(products).reshape(*alpha.shape, 3, 3) - centre[..., :, None] * centre[..., None, :]
    common = mean(colours * alpha[..., None]) - centre * level
    slopes = np.linalg.solve(spread + REGULARISATION * np.eye(3, dtype=np.float32), common[..., None])[..., 0]
    offsets = level - (slopes * centre).sum(axis=2, keepdims=True)
    return mean(np.concatenate([slopes, offsets], axis=2))
