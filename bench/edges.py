"""What each edge option does: a contact sheet to judge by eye, and errors and times to judge by number.

    python -m bench.edges --folder docs/samples --out DIR

The sheet shows each photo of the folder with each option before white, black and a colour: all of it, and enlarged
where its edge is busiest.
The errors are those of subjects whose true colours and alpha are known, before backgrounds they were not taken before.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bench.composites import Composite, as_a_model_sees_it, composites, over, texture
from bench.throughput import samples
from models import catalog, sessions
from models.weights import open_store
from operations import edges, picture
from operations.params import Params

Pixels = NDArray[np.uint8]
# From a photo, height × width × 4, and its mask.
Cut = Callable[[Pixels, Pixels], Pixels]

OPTIONS: Mapping[str, Mapping[str, bool]] = {
    "default": {},
    "decontaminate": {"decontaminate": True},
    "alpha_matting": {"alpha_matting": True},
    "post_process_mask": {"post_process_mask": True},
}
BACKGROUNDS: Mapping[str, tuple[int, int, int]] = {"white": (255,) * 3, "black": (0,) * 3, "magenta": (220, 30, 160)}
CELL = 260
HEADING = 22
# rembg's matting of larger pictures takes minutes and gigabytes.
MOST_MATTED_BY_REMBG = 1.0


def ours(options: Mapping[str, object]) -> Cut:
    params = Params.model_validate({"model": "u2net", **options})

    def cut(rgba: Pixels, mask: Pixels) -> Pixels:
        source = picture.Picture(rgba.copy())
        masks = edges.refine(source.rgba, [mask], params)
        cutout = picture.cut_out(source, masks)
        edges.decontaminate(source.rgba, masks, cutout, params)
        return cutout

    return cut


def rembgs(options: Mapping[str, object]) -> Cut:
    import rembg

    class Given:
        """In place of a model: all contenders start from the same mask."""

        def __init__(self, mask: Pixels) -> None:
            self.mask = mask

        def predict(self, *_: Any, **__: Any) -> list[Image.Image]:
            return [Image.fromarray(self.mask)]

    def cut(rgba: Pixels, mask: Pixels) -> Pixels:
        return np.asarray(rembg.remove(Image.fromarray(rgba[..., :3]), session=Given(mask), **options))

    return cut


def contenders() -> dict[str, Cut]:
    made = {}
    for name in ("default", "decontaminate", "alpha_matting"):
        made[f"ours, {name}"] = ours(OPTIONS[name])
        made[f"rembg, {name}"] = rembgs(OPTIONS[name])
    return made


# --- errors -----------------------------------------------------------------------------------------------------


def fringe_error(cut: Cut, cases: Sequence[tuple[Composite, Pixels]]) -> float:
    """Mean difference in levels of 255, at the edges, when a cutout is put before backgrounds that are new."""
    differences = []
    for composite, mask in cases:
        cutout = np.asarray(cut(composite.shown, mask) / 255, np.float32)
        for background in new_backgrounds(composite):
            shown = over(cutout[..., :3], cutout[..., 3], background)
            wanted = over(composite.foreground, composite.alpha, background)
            differences.append(np.abs(shown - wanted)[composite.edge].mean() * 255)
    return float(np.mean(differences))


def new_backgrounds(composite: Composite) -> list[NDArray[np.float32]]:
    side = composite.alpha.shape[0]
    flat = [np.full((side, side, 3), level, np.float32) for level in (0.0, 1.0)]
    return [*flat, np.ascontiguousarray(texture(np.asarray(samples()[0]), side)[::-1])]


def milliseconds(cut: Cut, composite: Composite, repeats: int) -> float:
    """Processor time on all cores, the best of a few; without the model, decoding and encoding."""
    rgba, mask = composite.shown, as_a_model_sees_it(composite.mask)
    taken = []
    for _ in range(repeats):
        begin = time.process_time()
        cut(rgba, mask)
        taken.append(time.process_time() - begin)
    return 1000 * min(taken)


def table(error_megapixels: float, timed_megapixels: Sequence[float], repeats: int) -> list[str]:
    pictures = composites(error_megapixels)
    true = [(each, each.mask) for each in pictures]
    predicted = [(each, as_a_model_sees_it(each.mask)) for each in pictures]
    timed = [composites(size)[0] for size in timed_megapixels]
    sizes = [f"ms at {size:g} MP" for size in timed_megapixels]
    rows = ["| " + " | ".join(["", "error, true mask", "error, mask of 320 pixels", *sizes]) + " |"]
    for name, cut in contenders().items():
        cells = [f"{fringe_error(cut, true):.2f}", f"{fringe_error(cut, predicted):.2f}"]
        for size, composite in zip(timed_megapixels, timed, strict=True):
            too_large = name == "rembg, alpha_matting" and size > MOST_MATTED_BY_REMBG
            cells.append("–" if too_large else f"{milliseconds(cut, composite, repeats):.0f}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


# --- the contact sheet --------------------------------------------------------------------------------------------


def busiest(mask: Pixels, side: int) -> tuple[int, int]:
    """Top and left of the square in which subject, background and what is between them meet most."""
    kinds = [cv2.inRange(mask, np.array(low), np.array(high)) for low, high in ((0, 20), (21, 234), (235, 255))]
    shares = [cv2.blur(kind.astype(np.float32), (side, side), borderType=cv2.BORDER_CONSTANT) for kind in kinds]
    _, _, _, (x, y) = cv2.minMaxLoc(shares[0] * shares[1] * shares[2])
    height, width = mask.shape
    return max(0, min(y - side // 2, height - side)), max(0, min(x - side // 2, width - side))


def before(cutout: Pixels, colour: tuple[int, int, int]) -> Image.Image:
    shown = Image.fromarray(cutout)
    return Image.alpha_composite(Image.new("RGBA", shown.size, (*colour, 255)), shown).convert("RGB")


def contact_sheet(photos: Sequence[Path], session: sessions.Session) -> Image.Image:
    columns = ["whole", *OPTIONS]
    rows = len(photos) * len(BACKGROUNDS)
    sheet = Image.new("RGB", (len(columns) * CELL, HEADING + rows * (CELL + HEADING)), "lightgrey")
    draw = ImageDraw.Draw(sheet)
    for number, name in enumerate(columns):
        draw.text((number * CELL + 6, 5), name, "black")
    top = HEADING
    for path in photos:
        source = picture.decode(path.read_bytes(), 10**9)
        (mask,) = session.predict(source.rgba).masks
        cutouts = [ours(options)(source.rgba, mask) for options in OPTIONS.values()]
        side = min(*mask.shape, max(48, min(*mask.shape) // 6))
        down, across = busiest(mask, side)
        for name, colour in BACKGROUNDS.items():
            draw.text((6, top + 5), f"{path.stem} before {name}", "black")
            whole = before(cutouts[0], colour)
            whole.thumbnail((CELL - 4, CELL - 4))
            sheet.paste(whole, (2, top + HEADING))
            for number, cutout in enumerate(cutouts, 1):
                part = before(np.ascontiguousarray(cutout[down : down + side, across : across + side]), colour)
                part = part.resize((CELL - 4, CELL - 4), Image.Resampling.NEAREST)
                sheet.paste(part, (number * CELL + 2, top + HEADING))
            top += CELL + HEADING
    return sheet


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of JPEG and PNG photos")
    parser.add_argument("--out", type=Path, required=True, help="where edges.png is written")
    parser.add_argument("--model", default="u2netp")
    parser.add_argument("--error-megapixels", type=float, default=0.5)
    parser.add_argument("--timed-megapixels", type=float, nargs="*", default=[0.5, 12.0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    model = catalog.find(options.model)
    session = sessions.load(model, open_store(os.environ).locate(model), threads=1)
    photos = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    options.out.mkdir(parents=True, exist_ok=True)
    contact_sheet(photos, session).save(options.out / "edges.png")
    print(f"{options.out / 'edges.png'} shows {len(photos)} photos")
    for row in table(options.error_megapixels, options.timed_megapixels, options.repeats):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
