"""`craton up`: its options. What it does is in `serve.py`."""

from pathlib import Path
from typing import Annotated

import typer

from craton.cli.options import DATA, AsJson, Data


def up(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8400,
    data: Data = DATA,
    engine: Annotated[
        str, typer.Option(help="What runs the models that come along: embedded, echo or none.")
    ] = "embedded",
    workers: Annotated[int, typer.Option(help="Gateway worker processes.")] = 1,
    database: Annotated[
        str | None,
        typer.Option(
            help="Store everything in PostgreSQL, as in postgresql://user@host/name, with a "
            "password from ~/.pgpass or PGPASSFILE; by default in a file of the data folder.",
        ),
    ] = None,
    otlp_endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
            help="Where OpenTelemetry traces go, such as http://127.0.0.1:4318; none by default.",
        ),
    ] = None,
    tls: Annotated[
        bool,
        typer.Option("--tls", help="Serve over TLS; `craton env` tells programs whom to trust."),
    ] = False,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM file with a certificate of your own, for TLS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its key.")] = None,
    store_responses: Annotated[
        bool, typer.Option(help="Keep OpenAI's Responses that say nothing of `store`, for 30 days.")
    ] = True,
    fleet: Annotated[
        Path | None,
        typer.Option(help="A file that says what capacity there is beside this machine."),
    ] = None,
    payments: Annotated[
        str,
        typer.Option(
            help="Who says that a capacity block is paid: automatic (within budgets) or manual."
        ),
    ] = "automatic",
    quiet: Annotated[bool, typer.Option("--quiet", help="Ask nothing and print nothing.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop after the first answer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start Craton, ask the default model one question, and serve until Ctrl-C."""
    # Imported here: the server's own parts take half a second that no other command should pay.
    from craton.bootstrap.settings import Settings  # noqa: PLC0415
    from craton.cli.serve import serve  # noqa: PLC0415

    settings = Settings(
        host=host,
        port=port,
        data=data,
        engine=engine,
        workers=workers,
        postgresql=database,
        otlp_endpoint=otlp_endpoint,
        tls=tls,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        stores_responses=store_responses,
        fleet=fleet,
        payments=payments,
    )
    serve(settings, quiet=quiet, once=once, as_json=as_json)
