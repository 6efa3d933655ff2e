"""The commands that this package adds to `penstock`: `up`, `open` and `demo`."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.output import JsonOption, console, print_json
from penstock.config import data_dir as default_data_dir
from penstock.config import home, remove_local, resolve, write_local
from penstock.errors import InvalidInput
from penstock_local.demo import demo
from penstock_local.stores import StoreKind, StoreUrls, store_servers

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock_local.datadir import DataDirectory
    from penstock_local.platform import Platform
    from penstock_local.processes import ProcessPlatform
    from penstock_local.store_servers import StoreServers

__all__ = ["app"]

LOG_BYTES_MAX = 10_000_000
LOG_FILES = 3
REPLICAS_MAX = 16

app = typer.Typer()
app.command()(demo)


@app.command()
def up(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is stored. Default: `data` in the home folder of Penstock.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65_535, help="The HTTP port; 0 takes a free one.")] = 7070,
    grpc_port: Annotated[int, typer.Option(min=0, max=65_535, help="The gRPC port; 0 takes a free one.")] = 7071,
    processes: Annotated[
        bool, typer.Option("--processes", help="Run each service in a process of its own, instead of all in one.")
    ] = False,
    stores: Annotated[
        StoreKind,
        typer.Option(
            help="What everything is stored in: files of its own, or MongoDB, Redis and an S3 server, which are started."
        ),
    ] = StoreKind.EMBEDDED,
    tracking_replicas: Annotated[
        int, typer.Option(min=1, max=REPLICAS_MAX, help="How many tracking services share the work.")
    ] = 1,
    with_demo: Annotated[bool, typer.Option("--demo", help="Train the demo once it is ready.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start Penstock on this machine: tracking server, gateway and dashboard. Ctrl-C stops it.

    With --json one line of JSON says when it is ready: `http`, `grpc`, `setup_link`.
    """
    # Here, because `penstock --help` needs none of it.
    from penstock_local.datadir import DataDirectory
    from penstock_local.front import Addresses

    if tracking_replicas > 1 and not (processes and stores is StoreKind.SERVERS):
        raise InvalidInput("Several tracking services need --processes and --stores servers.")
    with DataDirectory((data_dir or default_data_dir()).expanduser().absolute()) as data:
        _log_to(data.logs / "platform.log")
        servers = store_servers(data, stores)
        addresses = Addresses(host, http_port, grpc_port)

        def platform(urls: StoreUrls) -> "Platform | ProcessPlatform":
            if processes:
                from penstock_local.processes import ProcessPlatform

                return ProcessPlatform(data, addresses, urls, tracking_replicas=tracking_replicas)
            from penstock_local.platform import Platform

            return Platform(data, addresses, urls)

        asyncio.run(_run(data, servers, platform, with_demo=with_demo, as_json=as_json))


@app.command("open")
def open_(
    print_only: Annotated[bool, typer.Option("--print", help="Print the link instead of opening a browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Open the dashboard, signed in: mints a fresh link, which works once and for ten minutes."""
    from penstock.client import Client

    connection = resolve()
    with Client(connection) as client:
        link = f"{connection.http}/setup#{client.create_setup_link().secret}"
    if as_json:
        print_json({"setup_link": link})
    elif print_only:
        typer.echo(link)
    else:
        import webbrowser

        if not webbrowser.open(link):
            typer.echo(f"No browser could be opened. Open this link in one:\n{link}")


async def _run(
    data: "DataDirectory",
    servers: "StoreServers | None",
    platform_on: "Callable[[StoreUrls], Platform | ProcessPlatform]",
    *,
    with_demo: bool,
    as_json: bool,
) -> None:
    stopping = asyncio.Event()
    _on_signals(stopping)
    urls = await servers.start() if servers is not None else StoreUrls()
    try:
        await _serve(data, platform_on(urls), stopping, with_demo=with_demo, as_json=as_json)
    finally:
        if servers is not None:
            await servers.stop()
    if not as_json:
        typer.echo("Stopped.")


async def _serve(
    data: "DataDirectory",
    platform: "Platform | ProcessPlatform",
    stopping: asyncio.Event,
    *,
    with_demo: bool,
    as_json: bool,
) -> None:
    has_dashboard = await platform.start()
    try:
        token = await platform.owner_credential()
        link = await platform.setup_link()
        write_local(platform.http_url, platform.grpc_address, token, os.getpid())
        if as_json:
            print_json({"http": platform.http_url, "grpc": platform.grpc_address, "setup_link": link})
        else:
            _greet(platform.http_url, platform.grpc_address, link, data.path, token)
        if not has_dashboard:
            typer.echo(f"The dashboard did not start; it is tried again. See {data.logs / 'dashboard.log'}", err=True)
        training = asyncio.create_task(_train(platform.http_url, token)) if with_demo else None
        await stopping.wait()
        if training is not None:
            training.cancel()
            await asyncio.gather(training, return_exceptions=True)
    finally:
        remove_local(os.getpid())
        await platform.stop()


def _on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        # No handlers in loops there: the handler of the process wakes the loop.
        for number in (signal.SIGINT, signal.SIGBREAK):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)


async def _train(http: str, token: str) -> None:
    """Trains the demo against this server, whatever else clients on this machine are set to. Its words go to stderr."""
    from penstock_local.demo import best_run, plan_demo, register, run_demo

    os.environ.update(PENSTOCK_URL=http, PENSTOCK_TOKEN=token)
    plans = plan_demo()
    typer.echo(f"Training {len(plans)} models. Watch them in the dashboard.", err=True)
    runs = []
    async for run in run_demo(plans):
        runs.append(run)
        ended = run.problem or (
            f"validation accuracy {run.validation_accuracy:.3f}, {run.points_logged} points logged, "
            f"{run.points_durable} durable, {run.dropped} dropped"
        )
        typer.echo(f"{run.plan.name}: {ended}", err=True)
    best = best_run(runs)
    if best is not None:
        typer.echo(f"Best run: {best.plan.name} ({best.run})", err=True)
        registered = await register(best)
        if registered is not None:
            typer.echo(registered.sentence, err=True)


def _greet(http: str, grpc: str, link: str, data: Path, token: str) -> None:
    from rich.panel import Panel
    from rich.text import Text

    out = console()
    text = Text.assemble(
        ("HTTP       ", "dim"), http, "\n",
        ("gRPC       ", "dim"), grpc, "\n",
        ("Data       ", "dim"), str(data),
    )  # fmt: skip
    out.print(Panel(text, title="Penstock is running", title_align="left", expand=False))
    out.print("Sign in with this link. It works once, for ten minutes; `penstock open` makes a fresh one.\n")
    # Outside of the panel and never broken: a terminal must be able to open it, and a hand to copy it.
    out.print(Text(link, style="bold"), soft_wrap=True)
    out.print("\nOn this machine, in a script or a notebook:\n")
    out.print(
        Text(
            "    import penstock\n\n"
            '    with penstock.init(project="default") as run:\n'
            "        for step in range(100):\n"
            '            run.log({"loss": 1 / (step + 1)}, step=step)\n'
        )
    )
    # A secret is for a person's eyes: what is redirected to a file names the file that holds it.
    shown = token if out.is_terminal else f"<the token in {home() / 'local.json'}>"
    scheme, _, address = http.partition("://")
    out.print("Scripts that log to MLflow need one line, or MLFLOW_TRACKING_URI:\n")
    out.print(Text(f'    mlflow.set_tracking_uri("{scheme}://token:{shown}@{address}")\n'), soft_wrap=True)
    out.print(Text(f"Elsewhere: `penstock login {http}` first. Ctrl-C stops the server.", style="dim"))


def _log_to(file: Path) -> None:
    """Sends the logs of this process to a file of bounded size."""
    import logging
    from logging.handlers import RotatingFileHandler

    from penstock_kit.logs import JsonFormatter

    file.touch(mode=0o600)
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(JsonFormatter("platform"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
