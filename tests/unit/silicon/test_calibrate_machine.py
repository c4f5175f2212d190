"""What Linux tells of a machine, from files made for it; and a message within this one."""

import socket
from pathlib import Path

from craton.kernel.clock import SystemClock
from craton.silicon.calibrate_machine import describe_processor, measure_loopback


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_server_tells_its_processor_its_power_and_its_fastest_port(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: EPYC 9654\n\nmodel name\t: EPYC 9654\n",
            "sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw": "360000000\n",
            "sys/class/powercap/intel-rapl:1/constraint_0_power_limit_uw": "360000000\n",
            "sys/class/powercap/intel-rapl:0:0/constraint_0_power_limit_uw": "90000000\n",
            "sys/class/net/eth0/operstate": "up\n",
            "sys/class/net/eth0/speed": "25000\n",
            "sys/class/net/eth1/operstate": "up\n",
            "sys/class/net/eth1/speed": "100000\n",
            "sys/class/net/eth2/operstate": "down\n",
            "sys/class/net/eth2/speed": "400000\n",
        },
    )
    found = describe_processor(root, cores=96, memory_bytes=1 << 40)
    assert found.title == "EPYC 9654, 96 cores"
    assert found.power_w == 720.0  # both sockets, and not a part of one
    assert found.network_gb_s == 12.5  # of those that are up


def test_a_virtual_machine_that_tells_nothing_is_described_without_it(tmp_path: Path) -> None:
    root = write(
        tmp_path, {"sys/class/net/eth0/operstate": "up\n", "sys/class/net/eth0/speed": "-1\n"}
    )
    found = describe_processor(root, cores=2, memory_bytes=1 << 30)
    assert found.title == "The CPU of this machine, 2 cores"
    assert found.power_w is None
    assert found.network_gb_s is None


def test_a_message_within_the_machine_takes_some_time_and_has_some_rate() -> None:
    near, far = socket.socketpair()
    with near, far:
        found = measure_loopback(SystemClock(), near, far, repetitions=2)
    assert 0.1 < found.latency_us.median < 1e5
    assert found.gb_s.median > 1e-3
