"""Commands about personal access tokens: `token create`, `token list`, `token revoke`."""

import re
from typing import Annotated

import typer

from penstock.cli.output import JsonOption, ago, hint, print_json, print_table, say
from penstock.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke your access tokens.")

_LIFETIME = re.compile(r"([1-9][0-9]{0,8})([smhdwy])\Z")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


@app.command()
def create(
    title: Annotated[str, typer.Argument(help="A label, such as what will use it.")],
    project: Annotated[
        list[str] | None,
        typer.Option("--project", help="A project that it reaches; repeat for more. Default: all yours."),
    ] = None,
    role: Annotated[
        str | None, typer.Option("--role", help="The most it may do: viewer, editor or admin. Default: what you may.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="How long it works: 12h, 30d, 1y. Default: until revoked.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Create a token. Its secret is printed once, on standard output, and cannot be read again.

    \b
    Examples:
      penstock token create "nightly training" --project digits --role editor --expires 90d
      export PENSTOCK_TOKEN=$(penstock token create ci --expires 12h)
    """
    lifetime_s = None if expires is None else _lifetime_s(expires)
    from penstock.client import Client
    from penstock.client.records import token_record

    with Client() as client:
        response = client.create_token(title, projects=project or (), role=role, lifetime_s=lifetime_s)
    if json:
        print_json({**token_record(response.token), "secret": response.secret})
        return
    hint(f"{response.token.name}. The secret is shown once:")
    say(response.secret)


@app.command("list")
def list_tokens(json: JsonOption = False) -> None:
    """List your tokens, newest first, without their secrets. With --json, one document per line.

    \b
    Example:
      penstock token list
    """
    from penstock.client import Client
    from penstock.client.records import token_record

    with Client() as client:
        if json:
            for token in client.tokens():
                print_json(token_record(token))
            return
        records = [token_record(token) for token in client.tokens()]
    if not records:
        hint("You have no token. Create one with `penstock token create TITLE`.")
        return
    print_table(
        ["TOKEN", "TITLE", "ROLE", "PROJECTS", "LAST USED", "EXPIRES"],
        [
            (
                record["name"].removeprefix("tokens/"),
                record["title"],
                record["role"].lower(),
                ", ".join(name.removeprefix("projects/") for name in record["projects"]) or "all",
                ago(record["last_use_time"]) or "never",
                ago(record["expire_time"]) or "never",
            )
            for record in records
        ],
    )


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="The token's name or id, as `penstock token list` shows it.")],
    json: JsonOption = False,
) -> None:
    """Revoke one of your tokens. Every service refuses it within five seconds.

    \b
    Example:
      penstock token revoke 0123456789abcdef0123456789abcdef
    """
    from penstock.client import Client
    from penstock.client.names import token_name

    name = token_name(token)
    with Client() as client:
        client.revoke_token(name)
    if json:
        print_json({"name": name, "revoked": True})
        return
    say(f"Revoked {name}.")


def _lifetime_s(text: str) -> float:
    match = _LIFETIME.match(text.strip().lower())
    if match is None:
        raise InvalidInput(f"{text!r} is not a duration: it should look like 12h, 30d or 1y.")
    return int(match[1]) * _UNITS_S[match[2]]
