"""Training data: rows read and checked, pictures decoded late, samples packed, batches weighted."""

from pixelword.data.batch import PackedBatch, ReadySample, collate
from pixelword.data.packing import Packer, pack
from pixelword.data.weights import Weighting, step_share, step_weight, token_weight, weight_sum

__all__ = [
    "PackedBatch",
    "Packer",
    "ReadySample",
    "Weighting",
    "collate",
    "pack",
    "step_share",
    "step_weight",
    "token_weight",
    "weight_sum",
]
