"""The first operation: a picture without its background."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

import operations.params
from errors import PictureError
from operations.base import NO_ATTACHMENTS, Result

if TYPE_CHECKING:
    from models.sessions import Session

# See docs/quality.md for what pictures with and without a subject reach.
LEAST_CONFIDENCE = 0.5


class BackgroundRemoval:
    """Makes transparent what the model takes for background; a model with several masks gives one cutout for each."""

    name = "remove_background"
    Params = operations.params.Params
    attachments = ("background_image",)

    def run(
        self,
        image: bytes,
        params: BaseModel,
        session: "Session",
        max_pixels: int,
        attachments: Mapping[str, bytes] = NO_ATTACHMENTS,
    ) -> Result:
        """What was asked for, with straight colour; several cutouts one below the other. Raises PictureError."""
        # Here, because processes that never touch a pixel import this module for its Params.
        from operations import backdrop, edges, encoding, framing, layers, picture, previews, shadow

        chosen = self.Params.model_validate(params)
        source = picture.decode(image, max_pixels, chosen.most_pixels)
        # Now, because the cutouts are made of its pixels.
        preview = previews.of_input(source)
        found = framing.predict(session, source, chosen)
        if chosen.on_no_subject == "fail":
            check_subject(found.confidence, chosen.model)
        masks = edges.refine(source.rgba, found.masks, chosen)
        behind = backdrop.asked(source, masks, chosen, attachments.get("background_image"), max_pixels)
        cast = shadow.asked(chosen, shorter_side=min(source.rgba.shape[:2]))

        cutouts = picture.cut_out(source, masks)
        edges.decontaminate(source.rgba, masks, cutouts, chosen)
        frame = framing.frame(cutouts, cast, chosen, max_pixels)
        cutouts = [framing.framed(cutout, frame) for cutout in cutouts]
        alphas = [layers.alpha(cutout) for cutout in cutouts] if chosen.output in ("mask", "both") else []
        if cast is not None:
            cutouts = [layers.over(cutout, cast.of(layers.alpha(cutout), frame.beyond)) for cutout in cutouts]
        if behind is not None:
            cutouts = [layers.over(cutout, behind(frame.window)) for cutout in cutouts]
        file = encoding.encode(cutouts, alphas, source.icc_profile, chosen)
        return Result(
            data=file.data,
            content_type=file.content_type,
            extension=file.extension,
            width=frame.window.width,
            height=frame.window.height * len(masks),
            notes={
                **source.notes,
                **framing.notes(frame, chosen),
                "subject_confidence": round(found.confidence, 3),
            },
            previews={"input": preview, "result": previews.of_result(cutouts, alphas, source.icc_profile, chosen)},
        )


def check_subject(confidence: float, model: str) -> None:
    """Raises PictureError (no_subject_found)."""
    if confidence < LEAST_CONFIDENCE:
        raise PictureError(
            "no_subject_found",
            f"The model {model} finds no subject in this picture: its confidence is {confidence:.2f}, "
            f"and {LEAST_CONFIDENCE} is wanted. Send a picture in which the subject stands out, try another model, "
            "or ask with on_no_subject=pass for whatever it sees.",
        )
