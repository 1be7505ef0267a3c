"""The first operation: a picture without its background."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from operations.base import Compression, Result

if TYPE_CHECKING:
    from models.sessions import Session


class BackgroundRemoval:
    """Makes transparent what the model takes for background; a model with several masks gives one cutout for each."""

    name = "remove_background"

    class Params(BaseModel):
        """What may be chosen: the model, under its canonical name, and how much time a smaller PNG is worth."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        model: str
        png_compression: Compression = "fast"

    def run(self, image: bytes, params: BaseModel, session: "Session", max_pixels: int) -> Result:
        """A PNG with straight colour. Raises PictureError."""
        # Here, because processes that never touch a pixel import this module for its Params.
        from operations import picture, png

        chosen = self.Params.model_validate(params)
        source = picture.decode(image, max_pixels)
        cutout = picture.cut_out(source, session.predict(source.rgba))
        height, width = cutout.shape[:2]
        return Result(
            data=png.encode(cutout, source.icc_profile, chosen.png_compression),
            content_type="image/png",
            extension="png",
            width=width,
            height=height,
            notes=source.notes,
        )
