"""The first operation: a picture without its background."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

import operations.params
from operations.base import NO_ATTACHMENTS, Result

if TYPE_CHECKING:
    from models.sessions import Session


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
        from operations import backdrop, encoding, framing, layers, picture, shadow

        chosen = self.Params.model_validate(params)
        source = picture.decode(image, max_pixels, chosen.most_pixels)
        masks = framing.predict(session, source, chosen.roi)
        behind = backdrop.asked(source, masks, chosen, attachments.get("background_image"), max_pixels)
        cast = shadow.asked(chosen, shorter_side=min(source.rgba.shape[:2]))

        cutouts = picture.cut_out(source, masks)
        frame = framing.frame(cutouts, cast, chosen, max_pixels)
        cutouts = [framing.framed(cutout, frame) for cutout in cutouts]
        alphas = [layers.alpha(cutout) for cutout in cutouts] if chosen.output != "cutout" else []
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
            notes={**source.notes, **framing.notes(frame, chosen)},
        )
