"""What Linux says of this machine, and what a message within it takes."""

import socket
from pathlib import Path
from threading import Thread

from craton.kernel.clock import Clock
from craton.silicon.calibrate import (
    REPETITIONS,
    Samples,
    Work,
    in_microseconds,
    rates,
    timed,
)
from craton.silicon.calibrate_file import Loopback, Machine

MESSAGE_BYTES = 1 << 24
CHUNK_BYTES = 1 << 18
_HEAD_BYTES = 8


def describe_processor(root: Path, *, cores: int, memory_bytes: int) -> Machine:
    """The processor, by the files under `root` (`/` outside tests) that Linux keeps of it."""
    info = _text(root / "proc" / "cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in info.splitlines()
        if line.startswith("model name")
    ]
    kind = models[0] if models else "The CPU of this machine"
    return Machine(
        title=f"{kind}, {cores} cores",
        memory_bytes=memory_bytes,
        power_w=_power_w(root),
        network_gb_s=_network_gb_s(root),
    )


def _power_w(root: Path) -> float | None:
    """The sustained limit of all sockets together; only some kernels let it be read."""
    zones = sorted((root / "sys" / "class" / "powercap").glob("intel-rapl:[0-9]*"))
    sockets = [zone for zone in zones if zone.name.count(":") == 1]
    limits = [_number(zone / "constraint_0_power_limit_uw") for zone in sockets]
    told = [limit for limit in limits if limit]
    return sum(told) / 1e6 if told else None


def _network_gb_s(root: Path) -> float | None:
    """Of the fastest port that is up. Virtual ports tell none, or -1."""
    ports = sorted((root / "sys" / "class" / "net").glob("*"))
    up = [port for port in ports if _text(port / "operstate").strip() == "up"]
    megabits = [_number(port / "speed") for port in up]
    told = [speed for speed in megabits if speed is not None and speed > 0]
    return max(told) / 8000 if told else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # not told, or not to this user


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def measure_loopback(
    clock: Clock, near: socket.socket, far: socket.socket, *, repetitions: int = REPETITIONS
) -> Loopback:
    """Half a round trip of one byte, and the rate of a long message, between connected sockets."""
    thread = Thread(target=_answer, args=(far,), daemon=True)
    thread.start()
    try:
        bounced = timed(clock, _exchange(near, 1), _nothing, repetitions=repetitions)
        carried = timed(clock, _exchange(near, MESSAGE_BYTES), _nothing, repetitions=repetitions)
    finally:
        near.shutdown(socket.SHUT_WR)
        thread.join()
    half = Samples(tuple(each / 2.0 for each in bounced.values))
    return Loopback(gb_s=rates(carried, MESSAGE_BYTES / 1e9), latency_us=in_microseconds(half))


def _exchange(near: socket.socket, size: int) -> Work:
    """Send a message; the other side answers with one byte once it has it all."""
    message = size.to_bytes(_HEAD_BYTES, "big") + bytes(size - 1) + b"."

    def work() -> object:
        near.sendall(message)
        return near.recv(1)

    return work


def _answer(far: socket.socket) -> None:
    buffer = bytearray(CHUNK_BYTES)
    while head := far.recv(_HEAD_BYTES, socket.MSG_WAITALL):
        left = int.from_bytes(head, "big")
        while left:
            left -= far.recv_into(buffer, min(left, CHUNK_BYTES))
        far.sendall(b".")


def _nothing() -> None:
    """An exchange is over when it returns."""
