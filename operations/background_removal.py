"""The first operation: a picture without its background."""

from typing import TYPE_CHECKING

from pydantic import BaseModel

from errors import PictureError
from operations import marks
from operations.base import Result
from operations.params import Params

if TYPE_CHECKING:
    from models.sessions import Session

# See docs/quality.md for what pictures with and without a subject reach.
LEAST_CONFIDENCE = 0.5


class BackgroundRemoval:
    """Makes transparent what the model takes for background; a model with several masks gives one cutout for each."""

    name = "remove_background"

    Params = Params

    def run(self, image: bytes, params: BaseModel, session: "Session", max_pixels: int) -> Result:
        """A PNG with straight colour. Raises PictureError."""
        # Here, because processes that never touch a pixel import this module for its Params.
        from operations import edges, picture, png

        chosen = self.Params.model_validate(params)
        source = picture.decode(image, max_pixels)
        found = session.predict(source.rgba, marks.read(chosen.sam_prompt) if chosen.sam_prompt else None)
        if chosen.on_no_subject == "fail" and found.confidence < LEAST_CONFIDENCE:
            raise PictureError(
                "no_subject_found",
                f"The model {chosen.model} finds no subject in this picture: its confidence is {found.confidence:.2f}, "
                f"and {LEAST_CONFIDENCE} is wanted. Send a picture in which the subject stands out, try another model, "
                "or ask with on_no_subject=pass for whatever it sees.",
            )
        masks = edges.refine(source.rgba, found.masks, chosen)
        cutout = picture.cut_out(source, masks)
        edges.decontaminate(source.rgba, masks, cutout, chosen)
        height, width = cutout.shape[:2]
        return Result(
            data=png.encode(cutout, source.icc_profile, chosen.png_compression),
            content_type="image/png",
            extension="png",
            width=width,
            height=height,
            notes={**source.notes, "subject_confidence": round(found.confidence, 3)},
        )
