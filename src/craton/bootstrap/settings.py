"""Everything that can be set, read once, frozen, and handed to each process as one argument."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import msgspec

from craton.bootstrap.database_url import checked_url
from craton.http import Origin
from craton.kernel.errors import BadRequest
from craton.kernel.log import Level

DEFAULT_MODEL = "huggingfacetb.smollm2-135m-instruct"
ECHO_MODEL = "craton.echo-1"
EMBEDDING_MODEL = "sentence-transformers.all-minilm-l6-v2"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one `craton up`."""

    host: str = "127.0.0.1"
    """Address to listen on. Loopback unless said otherwise."""
    port: int = 8400
    """Port to listen on; 0 takes a free one."""
    data: Path = Path("craton-data")
    """Folder of the database, keys, weights and credentials."""
    run: Path = Path()
    """Folder of the sockets between Craton's own processes; made afresh at each start."""
    is_alone: bool = False
    """Whether no process of an earlier start can be alive; the supervisor finds it out."""
    workers: int = 1
    """Gateway worker processes."""
    engine: str = "embedded"
    """What runs the models that come along: `embedded`, `echo` for tests, or `none` for none."""
    region: str = "us-east-1"
    """The region that signatures and ARNs name."""
    tls: bool = False
    """Whether to serve over TLS with a certificate of a local authority, if none is given."""
    tls_certificate: Path | None = None
    """A PEM file with the certificate to serve with, and what leads to its root."""
    tls_key: Path | None = None
    """A PEM file with its key."""
    otlp_endpoint: str | None = None
    """Where OpenTelemetry traces go, such as `http://127.0.0.1:4318`; None makes none."""
    stores_responses: bool = True
    """Whether OpenAI's Responses are kept, for 30 days, where a request doesn't say."""
    fleet: Path | None = None
    """A fleet file to put in force at the start."""
    payments: str = "automatic"
    """Who says that a capacity block is paid: `automatic`, within budgets, or `manual`."""
    postgresql: str | None = None
    """The PostgreSQL database that everything is stored in, as an address without a password."""
    level: Level = Level.INFO
    """The least level of log lines."""

    @property
    def database(self) -> Path:
        """The ledger's file, unless PostgreSQL has the ledger."""
        return self.data / "craton.db"

    @property
    def credentials(self) -> Path:
        """The 0600 file with the keys that were made at the first start."""
        return self.data / "credentials.json"

    @property
    def log(self) -> Path:
        """Where every process writes its lines."""
        return self.data / "craton.log"

    @property
    def endpoint(self) -> Path:
        """Where a running Craton says its address, for `craton env` and the other clients."""
        return self.data / "endpoint.json"

    @property
    def is_secured(self) -> bool:
        """Whether clients are served over TLS."""
        return self.tls or self.tls_certificate is not None

    @property
    def tls_folder(self) -> Path:
        """The 0700 folder of the local certificate authority, if there is one."""
        return self.data / "tls"

    @property
    def vault_key(self) -> Path:
        """The 0600 file with the master key of secrets at rest."""
        return self.data / "vault.key"

    @property
    def started(self) -> Path:
        """There from before the first process starts until after the last one has ended."""
        return self.data / "started"

    @property
    def state_begun(self) -> Path:
        """Made by the first state process of this start."""
        return self.run / "state.begun"

    @property
    def state_socket(self) -> str:
        """Where the state process listens."""
        return str(self.run / "state.sock")

    @property
    def default_model(self) -> str | None:
        """The model that answers when a person asks without naming one, if one comes along."""
        return {"echo": ECHO_MODEL, "embedded": DEFAULT_MODEL}.get(self.engine)

    def weights_problem(self, name: str) -> Path:
        """Where it says why weights, a name or a path, can't be had; no file where they can."""
        return self.run / f"weights-{digest(name)}.missing"

    def engine_socket(self, model: str) -> str:
        """Where the engine process of a model listens; Unix socket paths are short, so a digest."""
        return str(self.run / f"engine-{digest(model)}.sock")


def digest(text: str) -> str:
    """A short name for a file, from text of any length."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checked(settings: Settings) -> Settings:
    """The settings if they make sense; BadRequest names what doesn't."""
    if not 0 <= settings.port <= 65535:
        raise BadRequest(f"--port is {settings.port}; it must be 0 to 65535.")
    if not 1 <= settings.workers <= 64:
        raise BadRequest(f"--workers is {settings.workers}; it must be 1 to 64.")
    if settings.engine not in ("embedded", "echo", "none"):
        raise BadRequest(f"--engine is {settings.engine!r}; it is 'embedded', 'echo' or 'none'.")
    if settings.payments not in ("automatic", "manual"):
        raise BadRequest(f"--payments is {settings.payments!r}; it is 'automatic' or 'manual'.")
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise BadRequest("--tls-certificate and --tls-key need each other. Give both, or neither.")
    if settings.postgresql is not None:
        checked_url(settings.postgresql)
    if settings.otlp_endpoint is not None:
        Origin.parse(settings.otlp_endpoint)
        if importlib.util.find_spec("opentelemetry") is None:
            raise BadRequest(
                "--otlp-endpoint needs OpenTelemetry's packages, which aren't installed. Install "
                "them with `pip install 'craton[traces]'`, or leave the option out."
            )
    return settings


def to_argument(settings: Settings) -> str:
    """The settings as text, for a child process's command line."""
    return msgspec.json.encode(settings, enc_hook=str).decode()


def from_argument(text: str) -> Settings:
    """The settings a parent process gave."""
    return msgspec.json.decode(text, type=Settings, dec_hook=_decode)


def _decode(kind: type, value: Any) -> Any:  # noqa: ANN401 - msgspec's own signature
    if issubclass(kind, Path):
        return Path(value)
    raise TypeError(f"settings can't hold a {kind.__name__}")
