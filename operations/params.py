"""What may be asked of a cutout: the same names, units and ranges through every door."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_extra_types.color import Color

from models.catalog import VITMATTE, Model
from operations import marks
from operations.base import Compression

Size = Literal["preview", "medium", "hd", "full"]
# In megapixels, as remove.bg has them; `full` is the picture's own.
MEGAPIXELS: Mapping[Size, float | None] = {"preview": 0.25, "medium": 1.5, "hd": 4.0, "full": None}

Step = Literal["post_process_mask", "vitmatte", "alpha_matting", "decontaminate", "background", "shadow"]

_LENGTH = re.compile(r"(-?\d{1,6}(?:\.\d{1,4})?)(px|%)?", re.ASCII)


def lengths(text: str, counts: tuple[int, ...]) -> list[tuple[float, bool]]:
    """Numbers in pixels (`px` or nothing) or per cent (`%`): each with whether it is relative.

    Spaces or commas stand between them. Raises ValueError when there are not so many, or one is no length.
    """
    words = text.replace(",", " ").split()
    found = [match for word in words if (match := _LENGTH.fullmatch(word))]
    if len(words) not in counts or len(found) != len(words):
        many = " or ".join(map(str, counts))
        raise ValueError(f"{many} lengths in px or % are wanted, such as 10px or 5%, not {text!r}")
    return [(float(match[1]), match[2] == "%") for match in found]


def colour(text: str) -> tuple[int, int, int, int]:
    """Red, green, blue and alpha, 0 to 255, of a CSS name, 3, 4, 6 or 8 hexadecimal digits, or `r,g,b` or `r,g,b,a`.

    Raises ValueError.
    """
    levels = [level.strip() for level in text.split(",")]
    if len(levels) in (3, 4) and all(level.isdecimal() and int(level) <= 255 for level in levels):
        red, green, blue, *alpha = map(int, levels)
        return red, green, blue, alpha[0] if alpha else 255
    try:
        red, green, blue, *opacity = Color(text.strip()).as_rgb_tuple(alpha=True)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no colour: use a name such as white, hexadecimal digits such as ff8800, or r,g,b,a"
        ) from error
    return int(red), int(green), int(blue), round(255 * opacity[0])


def _not_negative(text: str, counts: tuple[int, ...]) -> str:
    if any(number < 0 for number, _ in lengths(text, counts)):
        raise ValueError(f"lengths cannot be negative, as in {text!r}")
    return text


def _margin(text: str) -> str:
    return _not_negative(text, (1, 2, 4))


def _region(text: str) -> str:
    left, top, right, bottom = lengths(_not_negative(text, (4,)), (4,))
    for (low, relative), (high, other) in ((left, right), (top, bottom)):
        if relative == other and low >= high:
            raise ValueError(f"the region {text!r} is empty: x1 y1 x2 y2 are its upper left and its lower right corner")
    return text


def _offset(text: str) -> str:
    lengths(text, (2,))
    return text


def _position(text: str) -> str:
    if text in ("original", "center"):
        return text
    wanted = f"original, center, or one or two places from 0% to 100% are wanted, such as 50% 100%, not {text!r}"
    try:
        places = lengths(text, (1, 2))
    except ValueError as error:
        raise ValueError(wanted) from error
    if not all(relative and 0 <= number <= 100 for number, relative in places):
        raise ValueError(wanted)
    return text


def _format(name: object) -> object:
    return "jpg" if name == "jpeg" else name


def _colour(text: str) -> str:
    colour(text)
    return text


def _marks(text: str) -> str:
    marks.read(text)
    return text


# What only refines something else, and that.
REFINEMENTS = {
    "crop_margin": "crop",
    "shadow_opacity": "shadow",
    "shadow_blur": "shadow",
    "shadow_offset": "shadow",
}


class TwoBackgrounds(ValueError):
    """No parameter alone is wrong then."""


class Params(BaseModel):
    """Everything of background removal; the defaults give what the model sees, as a PNG of the picture's own size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="A name from /models; the default model when left out.")

    # What comes back.
    output: Literal["cutout", "mask", "both", "layers"] = Field(
        "cutout",
        description="The cutout, its mask as a grey picture, a ZIP of both, or one of color.jpg and alpha.png.",
    )
    format: Annotated[Literal["auto", "png", "webp", "jpg", "avif"], BeforeValidator(_format)] = Field(
        "auto",
        description="auto: PNG, or JPEG when a background leaves nothing transparent. JPEG puts white behind what is.",
    )
    quality: int = Field(90, ge=1, le=100, description="Of JPEG, WebP and AVIF; 100 makes WebP lossless.")
    png_compression: Compression = Field(
        "fast", description="fast; balanced: a few per cent smaller; small: about 10 %, and takes seconds."
    )
    size: Size = Field("full", description="At most 0.25, 1.5 or 4 megapixels, or the picture's own size.")
    max_megapixels: float | None = Field(None, gt=0, le=1000, description="The same as a number; the smaller counts.")

    # Its edges.
    alpha_matting: bool = Field(False, description="Finer edges for hair and fur; takes seconds.")
    alpha_matting_foreground_threshold: int = Field(240, ge=0, le=255, description="Mask levels above are subject.")
    alpha_matting_background_threshold: int = Field(10, ge=0, le=255, description="Mask levels below are background.")
    alpha_matting_erode_size: int = Field(
        10, ge=0, le=100, description="How far to step back from both, in pixels of the picture."
    )
    vitmatte: bool = Field(
        False,
        description="Finer edges by a network, where its weights are installed; instead of alpha_matting, whose "
        "thresholds and erode size it takes.",
    )
    decontaminate: bool = Field(False, description="Take the old background's colour out of soft edges.")
    post_process_mask: bool = Field(False, description="Smooth the mask and make it hard-edged, as rembg does.")

    # Which part of the picture, and where it goes.
    roi: Annotated[str, AfterValidator(_region)] | None = Field(
        None, description="Look for the subject only in this rectangle, x1 y1 x2 y2 in px or %; all else goes."
    )
    crop: bool = Field(False, description="Cut away what is empty around the subject.")
    crop_margin: Annotated[str, AfterValidator(_margin)] = Field(
        "0", description="What stays around it, in px or %: 1, 2 (vertical, horizontal) or 4 (from the top, clockwise)."
    )
    scale: Annotated[int, Field(ge=10, le=100)] | None = Field(
        None, description="The subject's size in per cent of the picture's, as far as it fits."
    )
    position: Annotated[str, AfterValidator(_position)] | None = Field(
        None, description="Where the subject goes: original, center, or x% y%. Center when scale is given."
    )

    # What stands behind it.
    background_color: Annotated[str, AfterValidator(_colour)] | None = Field(
        None, description="A CSS name, 3, 4, 6 or 8 hexadecimal digits, or r,g,b,a."
    )
    background_image: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="The SHA-256 of a picture that came along; it is scaled to cover the result."
    )
    background_blur: float | None = Field(
        None, gt=0, le=100, description="The picture's own background, blurred: 100 is a tenth of its shorter side."
    )
    shadow: bool = Field(False, description="A soft shadow under the subject.")
    shadow_opacity: int = Field(50, ge=0, le=100, description="In per cent.")
    shadow_blur: Annotated[str, AfterValidator(lambda text: _not_negative(text, (1,)))] = Field(
        "2%", description="How soft, in px or % of the picture's shorter side."
    )
    shadow_offset: Annotated[str, AfterValidator(_offset)] = Field(
        "0 2%", description="To the right and down, in px or % of the picture's shorter side."
    )

    # What if.
    on_no_subject: Literal["pass", "fail"] = Field(
        "pass", description="fail: a picture in which the model finds nothing fails with no_subject_found."
    )
    sam_prompt: Annotated[str, AfterValidator(_marks)] | None = Field(
        None, max_length=10_000, description="For the model sam: points and rectangles as JSON, as rembg takes them."
    )

    @property
    def most_pixels(self) -> int | None:
        """How large the picture may be when it is worked on; None is as large as it comes."""
        limits = [limit for limit in (MEGAPIXELS[self.size], self.max_megapixels) if limit is not None]
        return max(1, int(min(limits) * 1e6)) if limits else None

    @model_validator(mode="after")
    def _one_background(self) -> "Params":
        given = [name for name in ("background_color", "background_image", "background_blur") if getattr(self, name)]
        if len(given) > 1:
            raise TwoBackgrounds(f"only one background can stand behind the subject, not {' and '.join(given)}")
        return self

    @property
    def has_background(self) -> bool:
        return any((self.background_color, self.background_image, self.background_blur))

    @property
    def steps(self) -> frozenset[Step]:
        """What is done to a picture beside finding, framing and encoding its subject: nothing that nobody would see."""
        wanted: dict[Step, bool] = {
            "post_process_mask": self.post_process_mask,
            "vitmatte": self.vitmatte,
            "alpha_matting": self.alpha_matting and not self.vitmatte,
        }
        if self.output != "mask":
            wanted |= {
                # Matting finds thin hair again, and with it the background that shines through.
                "decontaminate": self.decontaminate or self.alpha_matting or self.vitmatte,
                "background": self.has_background,
                "shadow": self.shadow,
            }
        return frozenset(step for step, is_wanted in wanted.items() if is_wanted)

    @property
    def refiner(self) -> Model | None:
        """What else than the model is wanted, and has its own weights."""
        return VITMATTE if "vitmatte" in self.steps else None

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> "Params":
        for name, switch in REFINEMENTS.items():
            if getattr(self, name) != type(self).model_fields[name].default and not getattr(self, switch):
                raise ValueError(f"{name} does nothing without {switch}: ask for both, or for neither")
        return self

    @model_validator(mode="after")
    def _a_model_that_can_be_asked(self) -> "Params":
        if self.sam_prompt and self.model != marks.PROMPTED_MODEL:
            raise ValueError(
                f"sam_prompt is for the model {marks.PROMPTED_MODEL}; {self.model} finds the subject by itself"
            )
        return self
