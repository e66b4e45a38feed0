"""The page of a run or a comparison: one offline HTML file, and its numbers as CSV and JSON.

runs = read_runs([Path("runs/a"), Path("runs/b")])
page, signs = build_page(runs)
page.write("comparison.html")
export(Path("numbers"), runs, signs)
"""

from pixelword.realunify.page.arms import Arm, EvaluatedRun, read_run, read_runs, with_incomplete
from pixelword.realunify.page.build import Report, build_page
from pixelword.realunify.page.exports import export

__all__ = ["Arm", "EvaluatedRun", "Report", "build_page", "export", "read_run", "read_runs", "with_incomplete"]
