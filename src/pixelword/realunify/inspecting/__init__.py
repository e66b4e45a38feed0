"""RealUnify on Inspect AI: the tasks, the model providers, and one run of them. Needs the extra `eval`.

Inspect's entry point loads `registry`; nothing else in `pixelword.realunify` imports Inspect.
"""

__all__: list[str] = []
