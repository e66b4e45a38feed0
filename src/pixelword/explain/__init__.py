"""One sample explained: its tokens, their indices, who attends to whom, and where a model looks.

    sample = take_apart(model.config, processor, ["cat.jpg"], "What is it?")
    rich.print(SampleText(sample))
    sample_page(sample, "What is it?", look(model, processor, sample)).write("sample.html")

Without weights everything but `look` works: positions and masks follow from the tokens alone.
"""

from pixelword.explain.looking import Look, look
from pixelword.explain.page import sample_page
from pixelword.explain.sample import Part, Sample, SampleToken, SeenPicture, take_apart
from pixelword.explain.terminal import SampleText

__all__ = [
    "Look",
    "Part",
    "Sample",
    "SampleText",
    "SampleToken",
    "SeenPicture",
    "look",
    "sample_page",
    "take_apart",
]
