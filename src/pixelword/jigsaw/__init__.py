"""Visual Jigsaw: pictures, films and depth maps as puzzles whose answer can be checked. Loads no torch.

Wu, Zhang, Diao, Li, Lu, Liu: Visual Jigsaw Post-Training Improves MLLMs, ICLR 2026.

    from pixelword.jigsaw import *

    task = ImageJigsaw(rows=2, columns=2)
    ledger = Ledger()
    for puzzle in puzzles(image_folder("pictures"), task, seed=0, epoch=3, ledger=ledger):
        response = ask(puzzle.messages(), puzzle.images)
        print(puzzle.reward(response).reason)
    print(ledger)

>>> from pixelword.jigsaw import jigsaw_reward
>>> jigsaw_reward(r"<think>sky, grass</think> \\boxed{2, 1, 3, 4, 5}", target=[1, 2, 3, 4, 5]).reason
'partial'
"""

from pixelword.jigsaw.adapters import compute_score, trl_reward
from pixelword.jigsaw.depth import DepthJigsaw, DepthSample
from pixelword.jigsaw.draws import Key, target_of
from pixelword.jigsaw.films import StoredFrames
from pixelword.jigsaw.image import ImageJigsaw, ImageSample
from pixelword.jigsaw.poses import Plan
from pixelword.jigsaw.presets import coco, llava_video, scannet_depth, scannet_scenes
from pixelword.jigsaw.puzzle import Clip, Puzzle
from pixelword.jigsaw.puzzle_files import read_puzzles, write_puzzles
from pixelword.jigsaw.refusals import REASONS, Ledger, Refusal
from pixelword.jigsaw.released import released_puzzles, verl_row, verl_row_columns
from pixelword.jigsaw.rewards import AnswerRule, Reward, jigsaw_reward
from pixelword.jigsaw.scene_rows import scene_rows
from pixelword.jigsaw.scoring import STATUSES, Asked, Group, Reply, Scored, score, score_all, summarize
from pixelword.jigsaw.sources import (
    depth_folder,
    depth_rows,
    image_folder,
    image_rows,
    json_lines,
    parquet_rows,
    video_folder,
    video_rows,
)
from pixelword.jigsaw.stream import drawn, puzzles
from pixelword.jigsaw.tables import trl_columns, trl_row, verl_cut_columns, verl_cut_row, write_parquet
from pixelword.jigsaw.verdicts import Verdicts
from pixelword.jigsaw.video import VideoJigsaw, VideoSample
from pixelword.jigsaw.views import MotionJigsaw, PoseJigsaw, SceneSample, View

__all__ = [
    "REASONS",
    "STATUSES",
    "AnswerRule",
    "Asked",
    "Clip",
    "DepthJigsaw",
    "DepthSample",
    "Group",
    "ImageJigsaw",
    "ImageSample",
    "Key",
    "Ledger",
    "MotionJigsaw",
    "Plan",
    "PoseJigsaw",
    "Puzzle",
    "Refusal",
    "Reply",
    "Reward",
    "SceneSample",
    "Scored",
    "StoredFrames",
    "Verdicts",
    "VideoJigsaw",
    "VideoSample",
    "View",
    "coco",
    "compute_score",
    "depth_folder",
    "depth_rows",
    "drawn",
    "image_folder",
    "image_rows",
    "jigsaw_reward",
    "json_lines",
    "llava_video",
    "parquet_rows",
    "puzzles",
    "read_puzzles",
    "released_puzzles",
    "scannet_depth",
    "scannet_scenes",
    "scene_rows",
    "score",
    "score_all",
    "summarize",
    "target_of",
    "trl_columns",
    "trl_reward",
    "trl_row",
    "verl_cut_columns",
    "verl_cut_row",
    "verl_row",
    "verl_row_columns",
    "video_folder",
    "video_rows",
    "write_parquet",
    "write_puzzles",
]
