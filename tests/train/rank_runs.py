"""Runs of recipes on several gloo processes, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path

from pixelword.recipe import Recipe
from pixelword.train.run import run_recipe


def one_rank(rank: int, ranks: int, port: int, runs: list[tuple[Recipe, Path]]) -> None:
    """What torchrun would start."""
    numbers = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
    os.environ.update({name: str(number) for name, number in numbers.items()}, MASTER_ADDR="127.0.0.1")
    os.environ.update(OMP_NUM_THREADS="1", GLOO_SOCKET_IFNAME="lo")
    for recipe, run in runs:
        run_recipe(recipe, run)


def run_on(ranks: int, runs: list[tuple[Recipe, Path]]) -> None:
    """Run recipes one after the other on so many processes; fails if one of them does."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.rank_runs"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [context.Process(target=one_rank, args=(rank, ranks, port, runs)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * ranks
