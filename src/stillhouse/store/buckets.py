"""A store in parts in a bucket of an S3-compatible server; the extra ``s3``.

What is read while nets are trained lies in a local folder, a copy of the store: training processes are forked, and the
client of a bucket does not work behind a fork.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import xxhash

from stillhouse.errors import DamagedError, StoppedError, UsageError
from stillhouse.extras import library
from stillhouse.locations import bucket_of, no_place
from stillhouse.store import disk
from stillhouse.store.manifest import NAME, PLAN
from stillhouse.store.parts import PARTS, Root, file_name, read_root, read_sidecar, sidecar_name
from stillhouse.store.places import Draft, Folder, Place, draft

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"
LOCAL = ("localhost", "127.0.0.1", "::1")
RETRIES = 5  # of the client, with growing pauses
PIECE = 8 << 20  # bytes of a download at a time
_KEYS = (  # what says where keys come from; without any the client would ask a link-local address for the machine's own
    "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_METADATA_ENDPOINT", "AWS_SKIP_SIGNATURE",
)  # fmt: skip
_NAMED_AFTER = "AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def is_bucket(address: Path | str | None) -> bool:
    """Whether this is the address of a bucket."""
    return isinstance(address, str) and address.startswith(SCHEME)


def place_of(address: Path | str, copy: Path | None = None) -> Place:
    """A folder or a bucket by its address; ``copy`` is the local copy of the latter.

    Raises:
        UsageError: it is the address of something else.
    """
    return Bucket(str(address), copy) if is_bucket(address) else Folder(folder_of(address))


def folder_of(address: Path | str) -> Path:
    """A folder by its name.

    Raises:
        UsageError: it can be none, such as the address of a bucket of another kind.
    """
    path = Path(address)
    if why := no_place(path):
        raise UsageError(f"{address}: {why}. Give a folder, or `{SCHEME}BUCKET/PREFIX`.")
    return path


class Bucket(Place):
    """A store in parts below a prefix of a bucket. Server and keys come from the usual variables (``AWS_...``).

    Args:
        address: ``s3://bucket/prefix``.
        copy: the folder of its local copy; None: only looked at, not read.
    """

    def __init__(self, address: str, copy: Path | None = None) -> None:
        try:
            self.bucket, self.prefix = bucket_of(address)
        except ValueError as error:
            raise UsageError(f"{address!r}: {error}.") from None
        self.copy = copy
        self.drafts = (Path(tempfile.gettempdir()) if copy is None else copy) / PARTS
        self._client: S3Store | None = None
        self._process = 0
        self._tried = False

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}"

    @property
    def client(self) -> S3Store:
        """The client, opened at its first use.

        Raises:
            UsageError: the extra is not installed, or this process was forked from one that has used the client.
        """
        if self._client is None:
            self._client, self._process = open_client(self.bucket, self.prefix), os.getpid()
        if self._process != os.getpid():
            raise UsageError(f"{self} was opened before this process was forked. Open it in the process that uses it.")
        return self._client

    def names(self) -> list[str]:
        """See ``Place``."""
        import obstore

        with talking(self):
            return sorted(str(one["path"]) for page in obstore.list(self.client, prefix=PARTS) for one in page)

    def read(self, name: str) -> bytes:
        """See ``Place``."""
        import obstore

        with talking(self):
            return bytes(obstore.get(self.client, name).bytes())

    def create(self, name: str, data: bytes) -> bool:
        """See ``Place``; the server is tried first.

        Raises:
            UsageError: it does not know conditional writes.
        """
        if not self._tried:
            self.try_server()
        return self._put(name, data)

    def publish(self, draft: Path, name: str, digest: str) -> None:
        """See ``Place``; what is there under a name that follows its content is replaced by the same."""
        import obstore

        if not (self._put(name, draft) or self.digest(name) == digest):
            with talking(self):
                obstore.put(self.client, name, draft, use_multipart=False)
        if self.copy is not None:
            disk.replace(draft, self.copy / name)

    def settle(self) -> None:
        """See ``Place``: nothing is left to wait for."""

    def has(self, name: str) -> bool:
        """See ``Place``."""
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        """See ``Place``."""
        import obstore

        with talking(self):
            return int(obstore.head(self.client, name)["size"])

    def digest(self, name: str) -> str:
        """See ``Place``; the file is read from the server."""
        import obstore

        found = xxhash.xxh3_128()
        with talking(self):
            for piece in obstore.get(self.client, name).stream(min_chunk_size=PIECE):
                found.update(memoryview(piece))
        return found.hexdigest()

    def local(self, name: str, digest: str) -> Path:
        """See ``Place``; downloaded where it is not in the local copy yet.

        Raises:
            DamagedError: the bytes of the server are not those that were written.
        """
        import obstore

        assert self.copy is not None
        path = self.copy / name
        if path.exists():
            return path
        found = xxhash.xxh3_128()
        with disk.explained(path), talking(self):
            disk.make_folder(path.parent)
            with draft(path.parent, path.name) as (beside, fd):
                end = 0
                for piece in obstore.get(self.client, name).stream(min_chunk_size=PIECE):
                    disk.write_at(fd, end, memoryview(piece))
                    found.update(memoryview(piece))
                    end += len(memoryview(piece))
                if found.hexdigest() != digest:
                    raise DamagedError(
                        f"{self}/{name} is damaged: its bytes do not match its hash. Run `stillhouse store repair "
                        f"{self}`, then label again: it asks the teacher for this part alone."
                    )
                disk.replace(beside, path)
        return path

    def remove(self, name: str) -> None:
        """See ``Place``; also from the local copy."""
        import obstore

        with talking(self):
            obstore.delete(self.client, name)
        if self.copy is not None:
            disk.remove(self.copy / name)

    def left(self) -> list[Draft]:
        """See ``Place``: the drafts of this machine."""
        return [] if self.copy is None else Folder(self.copy).left()

    def try_server(self) -> None:
        """Refuse a server that overwrites what was to be created: two workers would write over each other.

        Raises:
            UsageError: it does.
        """
        name = f"probe/{secrets.token_hex(8)}"
        self._put(name, b"1")
        twice = self._put(name, b"2")
        self.remove(name)
        if twice:
            raise UsageError(
                f"The server of {self} ignores conditional writes (`If-None-Match: *`), so two workers could overwrite "
                'each other. Use a server that keeps them, or a folder: `[store] dir = "/shared/answers"`.'
            )
        self._tried = True

    def _put(self, name: str, data: bytes | Path) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with talking(self):
            try:
                obstore.put(self.client, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True


def mirror(bucket: Bucket) -> Folder:
    """The local copy of a merged store, with all that is not there yet; its manifest comes last.

    Raises:
        DamagedError: a file of the server is damaged.
    """
    assert bucket.copy is not None
    folder, data = Folder(bucket.copy), bucket.read(NAME)
    if folder.has(NAME) and folder.read(NAME) == data:
        return folder
    folder.remove(NAME)
    root: Root = read_root(data, f"{bucket}/{NAME}")
    for number in range(root.plan.parts):
        name = sidecar_name(number)
        sidecar = bucket.read(name)
        cure = f"Run `stillhouse store repair {bucket}`, then label again."
        for field, file in read_sidecar(sidecar, root.plan, number, f"{bucket}/{name}", cure).files.items():
            bucket.local(file_name(number, field, file.digest), file.digest)
        _keep(folder, name, sidecar)
    _keep(folder, PLAN, root.plan.to_bytes())
    _keep(folder, NAME, data)
    return folder


def _keep(folder: Folder, name: str, data: bytes) -> None:
    """Write a small file of the local copy, in place of one of another time."""
    folder.remove(name)
    folder.create(name, data)


def open_client(bucket: str, prefix: str) -> S3Store:
    """A client by the variables of the environment; a server on this machine needs no encryption.

    Raises:
        UsageError: the extra is not installed, or the variables say nothing that works.
    """
    library("obstore", "A bucket")
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    if not any(os.environ.get(name) for name in _KEYS):
        raise UsageError(
            f"{SCHEME}{bucket} needs keys, and none are set. Set {_NAMED_AFTER}. The machine's own keys are asked for "
            "only where AWS_METADATA_ENDPOINT says where; for a public bucket set AWS_SKIP_SIGNATURE=true."
        )
    options: dict[str, Any] = {"retry_config": {"max_retries": RETRIES}}
    if urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname in LOCAL:
        options["client_options"] = {"allow_http": True}
    try:
        return S3Store(bucket, prefix=prefix, **options)
    except (BaseError, ValueError) as error:
        raise UsageError(f"{SCHEME}{bucket} cannot be opened ({_first(error)}). Set {_NAMED_AFTER}.") from error


@contextmanager
def talking(place: Bucket) -> Iterator[None]:
    """Turn errors of the client into errors that name the fix; a file that is not there stays FileNotFoundError."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise UsageError(f"{place} may not be used with these keys ({_first(error)}). Set {_NAMED_AFTER}.") from error
    except BaseError as error:
        raise StoppedError(
            f"{place} does not answer as it should ({_first(error)}). All committed parts are kept: run the same "
            f"command again when the server is there, or set {_NAMED_AFTER}."
        ) from error


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
