"""The page."""


def write_page(out): ...
