"""Between which areas the pictures of a task are sized: NEO's, the model's own, or what the user says."""

from __future__ import annotations

from dataclasses import dataclass

from pixelword.errors import ConfigError, nearest
from pixelword.lmms.prompts import MAX_PIXELS, MIN_PIXELS, PLAIN, Manner
from pixelword.model.image_grid import check_bounds

NEO, OWN = "neo", "own"


@dataclass(frozen=True)
class PictureBounds:
    """The bounds of one run.

    Args:
        own: least and largest area of the model's folder, in pixels.
        choice: `neo` for those of NEO's evaluation, which differ by task; `own` for those of the folder. Empty is
            `neo`, unless the folder's pictures are all smaller.
        least, most: said by the user, for all tasks; None takes the choice's.

    Raises:
        ConfigError: another choice, bounds that contradict each other, or no choice for a model of smaller pictures.
    """

    own: tuple[int, int]
    choice: str = ""
    least: int | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        if self.choice not in ("", NEO, OWN):
            raise ConfigError("bounds must be neo or own", got=repr(self.choice), fix=nearest(self.choice, (NEO, OWN)))
        if not self.choice and self.least is None and self.own[1] < MIN_PIXELS:
            raise ConfigError(
                f"NEO's evaluation enlarges every picture to {MIN_PIXELS:,} pixels or more, and this model was made "
                f"for at most {self.own[1]:,}",
                got="neither bounds nor min_pixels among the arguments",
                fix="add bounds=own to --model_args for the model's own sizes, or bounds=neo to enlarge nonetheless",
            )
        check_bounds(*self.of(PLAIN))

    def of(self, manner: Manner | None) -> tuple[int, int]:
        """Least and largest area for a task."""
        least, most = self.own if self.choice == OWN else ((manner or PLAIN).min_pixels, MAX_PIXELS)
        return self.least or least, self.most or most
