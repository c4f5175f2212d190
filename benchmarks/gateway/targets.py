"""What is measured beside Craton: the upstream itself, a plain proxy, and the rival gateways.

Each target does the same job: take a chat request, forward it to the same OpenAI-compatible
upstream over connections it keeps, and give back or stream the answer. Each runs with one worker,
in the fastest set-up we know, and checks a key where it can.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from wires import OpenAIWire, Wire

HERE = Path(__file__).resolve().parent
BENCH_KEY = "Authorization: Bearer sk-bench"


class Http(StrEnum):
    """The version of HTTP that a load is sent over, without TLS."""

    ONE = "HTTP/1.1"
    TWO = "HTTP/2"
    """With prior knowledge: the client begins with it, and asks nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """A program to start and to ask. `command` is None for the upstream, which runs anyway."""

    name: str
    port: int
    command: tuple[str, ...] | None
    wire: Wire
    http: Http = Http.ONE
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    configuration: tuple[str, ...] = ()
    """Files beside this one that are written into the run's folder, with the upstream's port."""
    patience: float = 1.0
    """How much longer than others it is measured, because it answers so much less."""
    warm_s: float = 1.0
    on_ready: Callable[[Path], Wire] | None = None
    """Called with the run's folder when the port is open; returns the wire with its keys."""
    worker_mark: str | None = None
    """What stands in the command line of the process whose memory is told apart."""
    other_core_mark: str | None = None
    """What stands in the command line of a process that may use the load's core instead."""
    check: Callable[[Path, "Answered"], list[str]] | None = None
    """Holds the books against what was answered, after the end; returns what is wrong."""


@dataclass(slots=True)
class Answered:
    """What a target answered since it was started, warm-up and all."""

    requests: int = 0
    output_tokens: int = 0

    def add(self, requests: int, output_tokens: int) -> None:
        """Count more answers."""
        self.requests += requests
        self.output_tokens += output_tokens


def direct(upstream_port: int) -> Target:
    """The upstream without a gateway: what added times are counted from."""
    return Target("direct", upstream_port, None, OpenAIWire())


def peers(folder: Path, upstream_port: int) -> list[Target]:
    """The rivals, installed in `folder` by peers/install.sh."""
    upstream = f"http://127.0.0.1:{upstream_port}"
    key = OpenAIWire(headers=(BENCH_KEY,))
    return [
        Target(
            "nginx",
            8511,
            ("nginx", "-p", ".", "-c", "nginx.conf", "-e", "nginx.err"),
            OpenAIWire(),
            configuration=("peers/nginx.conf",),
        ),
        Target(
            "vllm-router",
            8512,
            _router(folder / "vllm-router/bin/vllm-router", 8512, upstream, "--log-level", "error"),
            key,
        ),
        Target(
            "sglang-router",
            8513,
            _router(
                folder / "sglang-router/bin/python",
                8513,
                upstream,
                *("--log-level", "warn", "--api-key", "sk-bench"),
                module="sglang_router.launch_router",
            ),
            key,
        ),
        Target(
            "Portkey",
            8514,
            (
                "node",
                str(folder / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"),
                "--port=8514",
                "--headless",
            ),
            OpenAIWire(
                headers=(
                    "Authorization: Bearer sk-upstream",
                    "x-portkey-provider: openai",
                    f"x-portkey-custom-host: {upstream}/v1",
                )
            ),
            environment={"NODE_ENV": "production"},
            patience=2,
            warm_s=2,
        ),
        Target(
            "LiteLLM",
            8515,
            (
                *(str(folder / "litellm/bin/litellm"), "--config", "litellm.yaml"),
                *("--host", "127.0.0.1", "--port", "8515", "--num_workers", "1"),
            ),
            key,
            environment={
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_MODE": "PRODUCTION",
                "NO_DOCS": "True",
            },
            configuration=("peers/litellm.yaml",),
            patience=3,
            warm_s=4,
        ),
    ]


def _router(
    program: Path, port: int, upstream: str, *more: str, module: str | None = None
) -> tuple[str, ...]:
    """The two routers' command lines; both come from one ancestor."""
    return (
        *(str(program), *(("-m", module) if module else ())),
        *("--host", "127.0.0.1", "--port", str(port), "--worker-urls", upstream),
        *("--policy", "round_robin", "--prometheus-port", str(port + 1000), *more),
    )


def write_configuration(target: Target, folder: Path, upstream_port: int) -> None:
    """Put a target's configuration into its folder."""
    for name in target.configuration:
        text = (HERE / name).read_text(encoding="utf-8")
        path = folder / Path(name).name
        path.write_text(text.replace("UPSTREAM_PORT", str(upstream_port)), encoding="utf-8")
