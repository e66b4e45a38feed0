"""Real pictures at their own resolutions."""


def read_photos(model, processor, photos, out): ...
