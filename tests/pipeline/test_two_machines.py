"""Two machines, which are network namespaces of this one: processes that train together, and a link that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

LIMIT = 20  # seconds that a process waits for the other
SOON = 100  # seconds in which they notice it on a busy machine, with the last words of both
PROCESS = f"""
import torch
from stillhouse.engine import LostProcessError
from stillhouse.pipeline.run.together import run_together

def work(group):
    group.add(torch.ones(2000))
    print("together", flush=True)
    while True:
        group.add(torch.ones(2000))

try:
    run_together(2, work, torch.device("cpu"), {LIMIT}.0)
except LostProcessError as error:
    print("lost:", error, flush=True)
"""


class Machine(NamedTuple):
    """A network namespace with one device."""

    name: str
    device: str
    address: str


def ip(*words: str) -> None:
    """Change the network."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    """Two machines with a cable between them."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        pytest.skip("needs `ip` of Linux, which makes network namespaces")
    if os.geteuid() != 0:
        pytest.skip("needs root, to make network namespaces")
    mark = os.getpid()
    found = [Machine(f"sh{mark}-{i}", f"sv{mark}-{i}", f"10.77.{mark % 250}.{i + 1}") for i in range(2)]
    one, two = found
    peer = ["type", "veth", "peer", "name", two.device, "netns", two.name]
    try:
        try:
            for machine in found:
                ip("netns", "add", machine.name)
            ip("link", "add", one.device, "netns", one.name, *peer)
            for machine in found:
                ip("-n", machine.name, "addr", "add", f"{machine.address}/24", "dev", machine.device)
                ip("-n", machine.name, "link", "set", "lo", "up")
                ip("-n", machine.name, "link", "set", machine.device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine makes no network namespaces: {error.stderr}")
        yield found
    finally:
        for machine in found:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", machine.name)


@pytest.mark.slow
def test_a_cable_that_is_pulled_ends_the_processes_of_both_machines_in_time(machines: list[Machine]) -> None:
    processes = []
    try:
        for rank, machine in enumerate(machines):
            there = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_PORT": "29517"}
            there |= {"MASTER_ADDR": machines[0].address, "GLOO_SOCKET_IFNAME": machine.device}
            words = ["ip", "netns", "exec", machine.name, sys.executable, "-c", PROCESS]
            processes.append(
                subprocess.Popen(
                    words, env=os.environ | there, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            )
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "together\n"
        ip("-n", machines[1].name, "link", "set", machines[1].device, "down")
        for rank, process in enumerate(processes):
            said = process.communicate(timeout=SOON)[0].splitlines()[-1]
            assert said.startswith(f"lost: Of 2 processes that train together, number {1 - rank} does not answer"), said
            assert said.endswith("run the same command again to resume.")
    finally:
        for process in processes:
            process.kill()
            process.wait()
