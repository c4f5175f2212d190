"""What a first start makes: an account with an operator's key, and the models that come along."""

from craton.access.commands import Access
from craton.access.contract import CreateAccount, CreateKey
from craton.access.credentials import Credentials, write_credentials
from craton.access.records import ACCOUNTS, Role
from craton.bootstrap.settings import DEFAULT_MODEL, ECHO_MODEL, EMBEDDING_MODEL, Settings
from craton.kernel.clock import Clock
from craton.models.card import MODELS, EchoSource, EmbeddedSource, Modality, ModelCard
from craton.models.commands import add_model
from craton.models.contract import AddModel
from craton.store.database import Connection, transaction
from craton.store.documents import Transaction

DEFAULT_ACCOUNT = "default"


def bundled_cards() -> list[ModelCard]:
    """The models that come with Craton."""
    return [
        ModelCard(
            id=ECHO_MODEL,
            name="Echo 1",
            lab="Craton",
            source=EchoSource(),
            context_tokens=100_000,
            output_tokens_default=4096,
        ),
        ModelCard(
            id=DEFAULT_MODEL,
            name="SmolLM2 135M",
            lab="HuggingFaceTB",
            source=EmbeddedSource(weights="smollm2-135m-instruct"),
            context_tokens=8192,
            output_tokens_default=512,
            licence="Apache-2.0",
        ),
        ModelCard(
            id=EMBEDDING_MODEL,
            name="all-MiniLM-L6-v2",
            lab="SBERT",  # Bedrock allows a provider 20 characters
            source=EmbeddedSource(weights="all-minilm-l6-v2"),
            context_tokens=256,  # what it was trained with; its positions reach 512
            output_tokens_default=1,  # it generates none, and no hold is for less
            output_modalities=(Modality.EMBEDDING,),
            licence="Apache-2.0",
        ),
    ]


def seed(connection: Connection, access: Access, settings: Settings, clock: Clock) -> None:
    """Make what is missing. Starting again changes nothing."""
    with transaction(connection):
        work = Transaction(connection, clock.now_ns() // 1_000_000)
        for card in bundled_cards() if settings.engine != "none" else ():
            if work.find(MODELS, card.id) is None:
                add_model(work, AddModel(card))
        if not work.list(ACCOUNTS, limit=1):
            account = access.create_account(work, CreateAccount(DEFAULT_ACCOUNT))
            key = access.create_key(work, CreateKey(account.id, "first", role=Role.OPERATOR))
            # The file first: if this process dies before the commit, the next start makes both.
            keys = Credentials({DEFAULT_ACCOUNT: key}, DEFAULT_ACCOUNT)
            write_credentials(settings.credentials, keys)
