"""The number formats a chip computes in and a model is stored in."""

from enum import StrEnum


class Precision(StrEnum):
    """A format of weights, activations or a cache; block formats carry their scales."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    MXFP8 = "mxfp8"
    INT8 = "int8"
    MXFP6 = "mxfp6"
    NVFP4 = "nvfp4"
    MXFP4 = "mxfp4"
    INT4 = "int4"

    @property
    def bytes(self) -> float:
        """Bytes an element takes, the block scales included."""
        return _BYTES[self]


# A block of 32 shares one 8-bit scale (OCP Microscaling Formats 1.0); of 16 in NVFP4; int4 weights
# usually share a 16-bit scale (and a zero point) a group of 128.
_BYTES = {
    Precision.FP32: 4.0,
    Precision.TF32: 4.0,
    Precision.BF16: 2.0,
    Precision.FP16: 2.0,
    Precision.FP8: 1.0,
    Precision.MXFP8: 1.0 + 1 / 32,
    Precision.INT8: 1.0,
    Precision.MXFP6: 0.75 + 1 / 32,
    Precision.NVFP4: 0.5 + 1 / 16,
    Precision.MXFP4: 0.5 + 1 / 32,
    Precision.INT4: 0.5 + 3 / 128,
}

# What people write for them: names of formats in rows, configs and command lines.
ALIASES = {
    "float32": Precision.FP32,
    "bfloat16": Precision.BF16,
    "float16": Precision.FP16,
    "half": Precision.FP16,
    "fp4": Precision.NVFP4,
    "fp8_block": Precision.FP8,
    "fp8_static": Precision.FP8,
    "fp8_e4m3": Precision.FP8,
    "float8": Precision.FP8,
    "cfp8": Precision.FP8,
    "w4a16": Precision.INT4,
    "int4_wo": Precision.INT4,
    "int8_wo": Precision.INT8,
}

# Which rates of a chip stand in for a format it doesn't list, best first: a chip computes a
# narrower weight at the rate of the nearest wider format it has.
WIDER = {
    Precision.FP32: (Precision.FP32,),
    Precision.TF32: (Precision.TF32, Precision.FP32),
    Precision.BF16: (Precision.BF16, Precision.FP16, Precision.TF32, Precision.FP32),
    Precision.FP16: (Precision.FP16, Precision.BF16, Precision.TF32, Precision.FP32),
    Precision.FP8: (Precision.FP8, Precision.MXFP8, Precision.BF16, Precision.FP16, Precision.FP32),
    Precision.MXFP8: (
        Precision.MXFP8,
        Precision.FP8,
        Precision.BF16,
        Precision.FP16,
        Precision.FP32,
    ),
    Precision.INT8: (Precision.INT8, Precision.BF16, Precision.FP16, Precision.FP32),
    Precision.MXFP6: (
        Precision.MXFP6,
        Precision.MXFP8,
        Precision.FP8,
        Precision.BF16,
        Precision.FP16,
    ),
    Precision.NVFP4: (
        Precision.NVFP4,
        Precision.MXFP4,
        Precision.FP8,
        Precision.MXFP8,
        Precision.BF16,
        Precision.FP16,
        Precision.FP32,
    ),
    Precision.MXFP4: (
        Precision.MXFP4,
        Precision.NVFP4,
        Precision.MXFP8,
        Precision.FP8,
        Precision.BF16,
        Precision.FP16,
        Precision.FP32,
    ),
    # Weights only: they are widened on the chip and multiplied in 16 bits.
    Precision.INT4: (Precision.BF16, Precision.FP16, Precision.FP32),
}
