"""The words in which the mini benchmark puts its choices, for models with a closed vocabulary."""

_SPELT = (
    "( ) 5 6 7 8 9 : ; A All Among At B C Coming Count D Find First How If In Look Name Of On Option Put Question "
    "Read Respond Select Simultaneously Standing Swap The Three Turn Walking What Where Which a after all and "
    "answer are away based be become becomes belongs best between black by can circles colour coloured colours "
    "comes coming correct counted crosses crowd did digits direction do does dot down drawn every everything "
    "exact find first following for form formed found from get has have hidden hides how image in into it its "
    "joins last leads letter lie lies lower many marker markers meet middle moment move multiple-option must "
    "nearest never not number often on one ones only onto option orange order original over paint part pass path "
    "picture place put quarter question reach restored seen segments shapes show single squares step steps take "
    "that the then they thing this tiles to triangles turn two up upper used walk was way what when which with "
    "you"
)

CHOICE_WORDS: tuple[str, ...] = tuple(_SPELT.split())
"""Words and signs of GEU requests, as far as `pixelword.world.WORDS` does not hold them; signs stand alone."""
