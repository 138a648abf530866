"""Resident memory of this process, on Linux."""

from __future__ import annotations

from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int:
    """Bytes now."""
    return _field("VmRSS")


def forget_peak() -> None:
    """Let the largest value begin anew at what is resident now: memory that is free again must not hide a growth."""
    RESET.write_text("5", encoding="ascii")


def peak() -> int:
    """The largest number of bytes since ``forget_peak``."""
    return _field("VmHWM")


def _field(name: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
