"""Training data: rows read and checked, pictures decoded late, samples packed, batches weighted."""

from pixelword.data.batch import PackedBatch, ReadySample, collate
from pixelword.data.json_rows import JsonRows
from pixelword.data.loader import Lane, PackedLoader, bad_rows_of_all, build_loader, check_lanes, merged
from pixelword.data.packing import Packer, pack
from pixelword.data.prefetch import Prefetched
from pixelword.data.records import BadRows, Record, RowError, Source
from pixelword.data.samples import Encoder, Sample
from pixelword.data.shards import TarRows
from pixelword.data.sources import open_source
from pixelword.data.stream import Mixture, Stream
from pixelword.data.tables import DatasetRows, ParquetRows
from pixelword.data.weights import Weighting, step_share, step_weight, token_weight, weight_sum

__all__ = [
    "BadRows",
    "DatasetRows",
    "Encoder",
    "JsonRows",
    "Lane",
    "Mixture",
    "PackedBatch",
    "PackedLoader",
    "Packer",
    "ParquetRows",
    "Prefetched",
    "ReadySample",
    "Record",
    "RowError",
    "Sample",
    "Source",
    "Stream",
    "TarRows",
    "Weighting",
    "bad_rows_of_all",
    "build_loader",
    "check_lanes",
    "collate",
    "merged",
    "open_source",
    "pack",
    "step_share",
    "step_weight",
    "token_weight",
    "weight_sum",
]
