"""Runs one function in several processes that talk to each other over gloo, as torchrun would start them.

The processes are forked from one server that has imported everything, so a test costs what it computes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch

SECONDS = 90
SERVER = multiprocessing.get_context("forkserver")
# Only installed packages: the server does not know where the tests are.
SERVER.set_forkserver_preload(
    ["pixelword.train.parallel_placement", "torch.distributed.tensor", "transformers.trainer"]
)


def in_processes(count: int, job: Callable[..., Any], *args: Any, launch: bool = True) -> list[Any]:
    """What the job returned in each process; the first error otherwise.

    Args:
        count: of processes.
        job: a function of a module, which is called with `args` in each of them.
        launch: open the connection; False leaves that to the job.
    """
    if torch.__version__ < "2.7":
        pytest.skip("models are spread over processes on CPUs from torch 2.7 on")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes, processes = [], []
    for rank in range(count):
        mine, theirs = SERVER.Pipe()
        processes.append(SERVER.Process(target=_run, args=(rank, count, port, theirs, job, args, launch)))
        processes[-1].start()
        theirs.close()
        pipes.append(mine)
    try:
        results = [_received(pipe) for pipe in pipes]
    finally:
        for process in processes:
            process.join(5)
            process.kill()
            process.join()
    for kind, result in results:
        if kind == "error":
            raise AssertionError(result)
    return [result for _, result in results]


def _received(pipe: Connection) -> tuple[str, Any]:
    if not pipe.poll(SECONDS):
        return "error", f"no answer within {SECONDS} seconds: the processes wait for each other"
    try:
        return pipe.recv()
    except EOFError:
        return "gone", None


def _run(
    rank: int, count: int, port: int, pipe: Connection, job: Callable[..., Any], args: tuple[Any, ...], launch: bool
) -> None:
    import torch.distributed as dist

    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    try:
        if launch:
            dist.init_process_group("gloo")
        pipe.send(("result", job(*args)))
    except BaseException:  # noqa: BLE001  (told to the test, whatever it is)
        pipe.send(("error", f"process {rank}:\n{traceback.format_exc()}"))
    finally:
        with contextlib.suppress(Exception):
            if dist.is_initialized():
                dist.destroy_process_group()
