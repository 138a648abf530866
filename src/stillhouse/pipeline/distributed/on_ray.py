"""Labelling by Ray: each part of a plan is a task, which Ray gives to a free process, and again where one is lost."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import socket
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from stillhouse.errors import StillhouseError, UsageError
from stillhouse.extras import library
from stillhouse.pipeline.distributed.shards import as_planned, facts, plan_labels
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.progress import stage
from stillhouse.pipeline.teacher.labeling import RunTeacher
from stillhouse.recipe import Recipe, parse
from stillhouse.store.part_care import merge
from stillhouse.store.part_reading import PartStore, open_parts
from stillhouse.store.part_writing import missing
from stillhouse.teachers.endpoint.addresses import is_local

RETRIES = 3  # times that Ray gives a part to another process where one is lost
REACH = 10.0  # seconds for a first contact: Ray itself tries again for a quarter of an hour
OBJECTS = 80 << 20  # bytes of Ray's own store, nearly the least that it takes: tasks exchange numbers alone
MODE, TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
KEPT = "Parts that are labelled are kept: run the same command again to go on."
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d+", re.ASCII)


def label_on_ray(recipe: Recipe, given: Given, address: str | None = None) -> dict[str, Any]:
    """Plan where there is no plan yet, label all missing parts by Ray, and merge.

    What goes to Ray is the recipe as text and numbers of parts: its processes read data, teacher and plan from the
    paths of the recipe, and write parts as those of ``label_share`` do.

    Args:
        recipe: of the run.
        given: what came from Python; Ray takes no object.
        address: HOST:PORT of a cluster; None: Ray is started on this machine, and listens there alone.

    Raises:
        UsageError: Ray is not installed; the address is another machine's and no token is set; an object was given.
        StillhouseError: processes were lost again and again; or what a process raised.
    """
    check_given(given)
    check_address(address)
    set_environment(local=address is None)
    with ray_itself() as ray:
        reach(address)  # before the teacher is trained
        store = plan_labels(recipe, given)
        if isinstance(store, PartStore) and not store.complete:
            left = missing(store.place, store.plan)
            with connected(ray, address), stage("the teacher, by Ray", len(left), "parts") as advance:
                task = ray.remote(
                    num_cpus=1, num_gpus=int(store.plan.device != "cpu"), max_retries=RETRIES, max_calls=0
                )(label_part)
                text = recipe.absolute().toml()
                waiting = [task.remote(text, given.allow_code, number) for number in left]
                while waiting:
                    done, waiting = ray.wait(waiting)
                    ray.get(done)
                    advance(len(done))
            merge(store.place)
            store = open_parts(store.place, store.key)
    return facts(store)


def label_part(recipe: str, allow_code: bool, number: int) -> None:
    """The task: label one part of a plan, in a process that has read the data once."""
    teacher = ready(recipe, allow_code)
    teacher.ask(lambda rows: None, lambda parts: [number], parse(tomllib.loads(recipe)).output.dir)


@cache
def ready(recipe: str, allow_code: bool) -> RunTeacher:
    """The teacher of a plan, ready to be asked for as long as this process lives."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(as_planned(parse(tomllib.loads(recipe)), Given(allow_code=allow_code)))


def check_given(given: Given) -> None:
    """Refuse objects: other processes cannot see them.

    Raises:
        UsageError: names the first one.
    """
    objects = {name: getattr(given, name) for name in ("teacher", "student", "data", "views", "methods")}
    odd = next((name for name, value in objects.items() if value is not None), None)
    if odd is not None:
        raise UsageError(
            f"Ray's processes cannot see the object that was passed as {odd}. Name it in the recipe: rows by the path "
            "of a file, models by a file or by `python:module:function`."
        )


def check_address(address: str | None) -> None:
    """Refuse a cluster that others can reach and that asks for no token: whoever reaches it runs code there.

    Raises:
        UsageError: the address has another form, or is another machine's while no token is set.
    """
    if address is None:
        return
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"--address {address}: write HOST:PORT, as `ray start --head` shows it: 10.0.0.5:6379.")
    if not is_local(f"ray://{address}") and not asks_token():
        raise UsageError(
            f"--address {address}: this cluster is not on this machine, and {MODE} is not `token`. Whoever reaches a "
            f"cluster without a token runs code on it. Set {MODE}=token and {TOKEN} (or RAY_AUTH_TOKEN_PATH) on every "
            "machine before `ray start`, and here."
        )


def reach(address: str | None) -> None:
    """Refuse an address where nobody answers.

    Raises:
        UsageError: names it, with the cause.
    """
    if address is None:
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"Ray cannot be reached at {address} ({error}). Check the address and the network, and that "
            f"`ray start --head` has been called there. {KEPT}"
        ) from error


def set_environment(local: bool) -> None:
    """Set the variables with which Ray starts: no statistics of use are sent; alone it wants a token, and stays here.

    They stay set, because Ray reads them once in a process.

    Raises:
        UsageError: this process has imported Ray already, without a token.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not local or asks_token():
        return
    if "ray" in sys.modules:
        raise UsageError(
            f"This process has imported ray, which then wants no token. Set {MODE}=token before, or call "
            "`stillhouse label RECIPE --on ray`."
        )
    os.environ[MODE] = "token"
    os.environ.setdefault(TOKEN, secrets.token_hex(32))
    # On other systems Ray stays on the loopback device by itself; this variable makes it do so everywhere.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def asks_token() -> bool:
    """Whether Ray asks for a token in this process."""
    return os.environ.get(MODE, "").lower() == "token"


@contextmanager
def ray_itself() -> Iterator[Any]:
    """The module, whose errors become ours.

    Raises:
        UsageError: it is not installed, or at work in this process already.
        StillhouseError: a task failed, or processes were lost.
    """
    ray = library("ray", "Labelling by Ray")
    if ray.is_initialized():
        raise UsageError("Ray is at work in this process already. Call `ray.shutdown()` first.")
    try:
        yield ray
    except ray.exceptions.RayTaskError as error:
        if isinstance(cause := getattr(error, "cause", None), Exception):
            raise cause from None
        raise
    except ray.exceptions.RayError as error:
        raise StillhouseError(f"Processes of Ray were lost ({str(error).strip().splitlines()[0]}). {KEPT}") from error


@contextmanager
def connected(ray: Any, address: str | None) -> Iterator[None]:
    """A connection to a cluster, or to one that is started here and ends with it.

    Raises:
        UsageError: the cluster cannot be reached.
    """
    reach(address)  # the teacher may have been trained for hours since
    own = {"include_dashboard": False, "object_store_memory": OBJECTS} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UsageError(
            f"Ray cannot be reached at {address or 'this machine'} ({str(error).strip().splitlines()[0]}). Check the "
            f"address, and that {MODE} and {TOKEN} are those of the cluster. A process keeps the first token that it "
            "has used."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
