"""Visual Jigsaw: pictures, films and depth maps as puzzles whose answer can be checked. Loads no torch.

Wu, Zhang, Diao, Li, Lu, Liu: Visual Jigsaw Post-Training Improves MLLMs, ICLR 2026.

>>> from pixelword.jigsaw import jigsaw_reward
>>> jigsaw_reward(r"<think>sky, grass</think> \\boxed{2, 1, 3, 4, 5}", target=[1, 2, 3, 4, 5]).reason
'partial'
"""

from pixelword.jigsaw.adapters import compute_score, trl_reward
from pixelword.jigsaw.rewards import AnswerRule, Reward, jigsaw_reward

__all__ = ["AnswerRule", "Reward", "compute_score", "jigsaw_reward", "trl_reward"]
