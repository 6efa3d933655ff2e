"""Commands that say where the server is and who we are: `login`, `whoami`."""

import getpass
import sys
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from penstock import config
from penstock.cli.output import JsonOption, cell, hint, pairs, print_json, say
from penstock.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer()

TOKEN_CHARS_MAX = 256
"""Longest secret of a token."""


@app.command()
def login(
    url: Annotated[str, typer.Argument(help="The HTTP address of the server, such as https://penstock.example:7070.")],
    token_stdin: Annotated[bool, typer.Option("--token-stdin", help="Read the token from standard input.")] = False,
    profile: Annotated[
        str | None, typer.Option("--profile", help="The name to remember it by; the host of the address by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Sign in to a server, and remember it as the one to talk to.

    The token is asked for without being shown, checked with the server, and kept in a file that only you can read.

    \b
    Examples:
      penstock login https://penstock.example:7070
      penstock login http://localhost:7070 --token-stdin < token.txt
    """
    http = config.normalize_url(url)
    secret = _read_token(http, token_stdin)
    from penstock.client import Client

    with Client(config.Connection(http, None, secret, "arguments")) as client:
        who = client.whoami()
    saved = config.save_profile(profile or urlsplit(http).hostname or http, http, secret)
    if json:
        print_json({"profile": saved.name, "http": saved.http, "principal": who.principal})
        return
    say(f"Signed in to {saved.http} as {who.principal}. Remembered as profile {saved.name}.")


@app.command()
def whoami(json: JsonOption = False) -> None:
    """Say who you are to the server, and what your token allows.

    \b
    Example:
      penstock whoami --json
    """
    from penstock.api.auth.v1 import auth_service_pb2
    from penstock.client import Client

    with Client() as client:
        who = client.whoami()
        connection = client.connection
    document: dict[str, Any] = {
        "principal": who.principal,
        "kind": auth_service_pb2.PrincipalKind.Name(who.kind).removeprefix("PRINCIPAL_KIND_"),
        "owner": who.owner,
        "role": auth_service_pb2.Role.Name(who.role).removeprefix("ROLE_"),
        "projects": list(who.projects),
        "token": who.token,
        "http": connection.http,
        "source": connection.source,
    }
    if json:
        print_json(document)
        return
    pairs(
        {
            "principal": f"{who.principal}{' (owner of the installation)' if who.owner else ''}",
            "token": who.token,
            "role": document["role"].lower(),
            "projects": ", ".join(who.projects) or "all that the principal reaches",
            "server": f"{connection.http} (from {connection.source})",
        }
    )


def _read_token(http: str, from_stdin: bool) -> str:
    if from_stdin:
        secret = sys.stdin.readline(TOKEN_CHARS_MAX + 2).strip()
    elif sys.stdin.isatty():
        hint(
            f"The token for {http}: make one in the dashboard, or with `penstock token create` where you are signed in."
        )
        # It stops the echo before it prompts, so that what is pasted in haste is not shown either.
        secret = getpass.getpass("Token: ", stream=sys.stderr).strip()
    else:
        raise InvalidInput("There is no terminal to ask for the token. Pipe it in with --token-stdin.")
    if not secret or len(secret) > TOKEN_CHARS_MAX or not secret.isascii() or any(c.isspace() for c in secret):
        # Never the secret itself, only its beginning, which is its kind.
        raise InvalidInput(f"That is not a token: {cell(secret[:4])}... A token looks like pst_<letters and digits>.")
    return secret
