"""Cognitive navigation: a maze with coloured markers, a start and a goal. The true intermediate shows the way."""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from pixelword.realunify.mini.drawing import ENLARGE
from pixelword.realunify.mini.puzzles import Options, Puzzle, four_of
from pixelword.realunify.mini.vocabulary import COLORS, PAPER

CELLS = 6
WAY = (255, 0, 255)
"""Magenta, which no marker has."""

DIRECTIONS = {"up": -CELLS, "down": CELLS, "left": -1, "right": 1}
START, GOAL = "black", "purple"
MARKERS = tuple(color for color in COLORS if color not in {START, GOAL})

FORMS: tuple[tuple[str, str], ...] = (
    ("on the way", "Which marker lies on the way from the black square to the purple square?"),
    ("on the way", "Walking from the black square to the purple square, which marker do you pass?"),
    ("on the way", "The path from the black to the purple square leads over one marker. Which?"),
    ("on the way", "Which coloured dot is on the path that joins the two squares?"),
    ("off the way", "Which marker does not lie on the way from the black square to the purple square?"),
    ("off the way", "Walking from the black square to the purple square, which marker do you never pass?"),
    ("off the way", "Three markers are on the path between the squares. Which is not?"),
    ("off the way", "Which coloured dot is away from the path that joins the two squares?"),
    ("first", "On the way from the black square to the purple square, which marker comes first?"),
    ("first", "Which marker do you meet first when you walk from the black to the purple square?"),
    ("first", "Which marker on the path is nearest to the black square, counted in steps?"),
    ("last", "On the way from the black square to the purple square, which marker comes last?"),
    ("last", "Which marker do you meet last when you walk from the black to the purple square?"),
    ("last", "Which marker on the path is nearest to the purple square, counted in steps?"),
    ("first step", "In which direction is the first step from the black square to the purple square?"),
    ("first step", "Standing on the black square, which way leads to the purple square?"),
    ("first step", "Which direction must you take first to get from the black to the purple square?"),
    ("last step", "In which direction is the last step onto the purple square, coming from the black one?"),
    ("last step", "Coming from the black square, which way do you move when you reach the purple square?"),
    ("last step", "Which direction do you take last to get from the black to the purple square?"),
)
TEMPLATES = tuple(text for _, text in FORMS)

Maze = dict[int, set[int]]
"""Cell -> the neighbours it is open to; a tree, so there is one way between any two cells."""


def puzzle(template: str, letter: str, side: int, random: Random) -> Puzzle:
    """Fill a template for this answer letter."""
    form = next(form for form, text in FORMS if text == template)
    options = four_of(tuple(DIRECTIONS) if form.endswith("step") else MARKERS, letter, random)
    while True:
        maze = grow(random)
        start, goal = random.sample(range(CELLS**2), 2)
        path = way(maze, start, goal)
        markers = place_markers(form, options, path, random)
        if markers is not None:
            break
    things = {start: START, goal: GOAL}
    return Puzzle(
        template,
        options,
        draw_maze(maze, things, markers, (), side),
        draw_maze(maze, things, markers, path, side),
        "maze",
    )


def grow(random: Random) -> Maze:
    """A random maze: from any cell there is one way to any other."""
    maze: Maze = {cell: set() for cell in range(CELLS**2)}
    stack, seen = [random.randrange(CELLS**2)], set()
    seen.add(stack[0])
    while stack:
        ahead = [cell for cell in neighbours(stack[-1]) if cell not in seen]
        if not ahead:
            stack.pop()
            continue
        cell = random.choice(ahead)
        maze[cell].add(stack[-1])
        maze[stack[-1]].add(cell)
        seen.add(cell)
        stack.append(cell)
    return maze


def neighbours(cell: int) -> list[int]:
    row, column = divmod(cell, CELLS)
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [r * CELLS + c for r, c in around if 0 <= r < CELLS and 0 <= c < CELLS]


def way(maze: Maze, start: int, goal: int) -> list[int]:
    """The cells from start to goal, both included."""
    before = {start: start}
    front = [start]
    for cell in front:
        for ahead in sorted(maze[cell] - before.keys()):
            before[ahead] = cell
            front.append(ahead)
    path = [goal]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]


def place_markers(form: str, options: Options, path: list[int], random: Random) -> dict[int, str] | None:
    """Cell -> colour of its marker, such that the options' answer is true; None when this path does not allow it."""
    inner = path[1:-1]
    aside = [cell for cell in range(CELLS**2) if cell not in path]
    if form.endswith("step"):
        one, other = path[:2] if form == "first step" else path[-2:]
        return {} if other - one == DIRECTIONS[options.answer] and len(path) > 4 else None
    others = random.sample(options.others, 3)
    wanted = {"on the way": 1, "off the way": 3}.get(form, 4)
    if len(inner) < max(4, wanted) or len(aside) < 4 - wanted:
        return None
    on = sorted(random.sample(inner, wanted), key=path.index)
    off = random.sample(aside, 4 - wanted)
    names = {
        "on the way": [options.answer, *others],
        "off the way": [*others, options.answer],
        "first": [options.answer, *others],
        "last": [*others, options.answer],
    }[form]
    return dict(zip([*on, *off], names, strict=True))


def draw_maze(
    maze: Maze, squares: dict[int, str], dots: dict[int, str], path: list[int] | tuple[()], side: int
) -> Image.Image:
    """Walls, squares and dots; with a path, a line along it under them."""
    large = side * ENLARGE
    picture = Image.new("RGB", (large, large), PAPER)
    pen = ImageDraw.Draw(picture)
    step, line = large / CELLS, max(2 * ENLARGE, round(large / CELLS / 10))
    middle = {cell: ((cell % CELLS + 0.5) * step, (cell // CELLS + 0.5) * step) for cell in maze}
    if path:
        pen.line([middle[cell] for cell in path], fill=WAY, width=round(1.5 * line), joint="curve")
    for cell in maze:
        x, y = middle[cell]
        for direction, move in DIRECTIONS.items():
            if cell + move not in maze[cell]:
                wall(pen, direction, x, y, step / 2, line)
    for cell, color in squares.items():
        pen.rectangle(around(*middle[cell], 0.27 * step), fill=COLORS[color])
    for cell, color in dots.items():
        pen.ellipse(around(*middle[cell], 0.27 * step), fill=COLORS[color])
    return picture.reduce(ENLARGE)


def around(x: float, y: float, reach: float) -> tuple[float, float, float, float]:
    return x - reach, y - reach, x + reach, y + reach


def wall(pen: ImageDraw.ImageDraw, direction: str, x: float, y: float, half: float, line: int) -> None:
    """One wall of the cell around (x, y)."""
    ends = {
        "up": (x - half, y - half, x + half, y - half),
        "down": (x - half, y + half, x + half, y + half),
        "left": (x - half, y - half, x - half, y + half),
        "right": (x + half, y - half, x + half, y + half),
    }[direction]
    pen.line(ends, fill=(90, 90, 90), width=line)
