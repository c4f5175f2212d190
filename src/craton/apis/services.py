"""What every endpoint may use, made once by bootstrap and handed down."""

from dataclasses import dataclass

from craton.access.directory import Directory
from craton.apis.embedding import Embedding
from craton.apis.inference import Inference
from craton.apis.tracing import Tracing
from craton.fleet.run_folder import RunFolder
from craton.kernel.clock import Clock
from craton.kernel.ids import Ids
from craton.kernel.log import Log
from craton.kernel.metrics import Metrics
from craton.models.router import Router
from craton.store.client import StateClient


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one gateway worker."""

    process: str
    directory: Directory
    router: Router
    state: StateClient
    inference: Inference
    embedding: Embedding
    clock: Clock
    ids: Ids
    log: Log
    metrics: Metrics
    region: str
    is_secure: bool = False
    """Whether clients come over TLS."""
    stores_responses: bool = True
    """Whether OpenAI's Responses are kept where a request doesn't say."""
    tracing: Tracing | None = None
    runs: RunFolder | None = None
    """Where commands that run on leases are kept."""
