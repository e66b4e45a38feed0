"""RealUnify: does drawing help seeing, and does knowing help drawing? Loads no torch and asks no network."""

from pixelword.realunify.letters import read_letter
from pixelword.realunify.verdicts import read_verdict

__all__ = ["read_letter", "read_verdict"]
