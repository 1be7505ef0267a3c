"""The options of a cutout, as flags of `submit`. What they mean and what they take, the service knows."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One parameter of the service; without a `value` it is on or off."""

    words: str
    value: str | None = None

    def add_to(self, group: argparse._ArgumentGroup, name: str) -> None:
        flag = "--" + name.replace("_", "-")
        # argparse reads a per cent sign as the beginning of a place for a value.
        words = self.words.replace("%", "%%")
        if self.value is None:
            group.add_argument(flag, dest=name, action="store_const", const="true", help=words)
        else:
            group.add_argument(flag, dest=name, metavar=self.value, help=words)


OPTIONS: Mapping[str, Option] = {
    "output": Option("cutout, mask, or a ZIP: both, or layers as remove.bg has them", "WHAT"),
    "format": Option("auto, png, webp, jpg or avif", "NAME"),
    "quality": Option("of jpg, webp and avif, 1 to 100", "N"),
    "png_compression": Option("fast, balanced or small", "NAME"),
    "size": Option("at most preview, medium or hd", "NAME"),
    "max_megapixels": Option("at most so many", "N"),
    "alpha_matting": Option("finer edges for hair and fur; takes seconds"),
    "alpha_matting_foreground_threshold": Option("0 to 255", "N"),
    "alpha_matting_background_threshold": Option("0 to 255", "N"),
    "alpha_matting_erode_size": Option("in pixels", "N"),
    "vitmatte": Option("finer edges by a network, where its weights are installed"),
    "decontaminate": Option("take the old background out of soft edges"),
    "post_process_mask": Option("smooth the mask, with a hard edge"),
    "roi": Option("where to look for the subject, such as '10% 0 90% 100%'", "'X1 Y1 X2 Y2'"),
    "crop": Option("cut away what is empty"),
    "crop_margin": Option("what stays around the subject, such as 5% or '10px 20px'", "LENGTHS"),
    "scale": Option("the subject's size in per cent of the picture's, 10 to 100", "N"),
    "position": Option("original, center or 'X% Y%'", "PLACE"),
    "background_color": Option("such as white, ff8800 or 255,136,0,128", "COLOR"),
    "background_blur": Option("the picture's own background, blurred, up to 100", "N"),
    "shadow": Option("a soft shadow under the subject"),
    "shadow_opacity": Option("in per cent", "N"),
    "shadow_blur": Option("how soft, such as 2%", "LENGTH"),
    "shadow_offset": Option("to the right and down, such as '0 2%'", "'X Y'"),
    "on_no_subject": Option("pass, or fail when there is nothing to cut out", "WHAT"),
    "sam_prompt": Option("for the model sam: points and rectangles", "JSON"),
}


def add_cutout_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the cutout")
    for name, option in OPTIONS.items():
        option.add_to(group, name)
    group.add_argument("--background-image", metavar="FILE", help="a picture to put behind all of them, or its address")


def chosen(args: argparse.Namespace) -> dict[str, str]:
    """What was asked for, by the service's names."""
    return {name: value for name in OPTIONS if (value := getattr(args, name)) is not None}
