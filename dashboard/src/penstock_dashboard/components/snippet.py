"""The empty project: code that works as it stands when pasted, for this server and this project."""

from typing import Any

import dash_mantine_components as dmc
from dash import html

from penstock.config import is_loopback
from penstock_dashboard.components.icon import icon

__all__ = ["code_block", "copy_button", "empty_project", "server_address", "snippet"]


def server_address(forwarded_host: str | None, *, secure: bool, gateway_http: str) -> str:
    """The address under which the visitor reaches the gateway, for clients on other machines too.

    Args:
        forwarded_host: The host that the gateway was asked for; None when the dashboard was asked directly.
        secure: Whether the gateway was asked over https.
        gateway_http: The configured address, for want of a better one.
    """
    if not forwarded_host or any(c in "/\\\"'<>@ " for c in forwarded_host):
        return gateway_http
    return f"{'https' if secure else 'http'}://{forwarded_host}"


def snippet(project: str, address: str) -> str:
    """The code. A server on this machine is found without being told."""
    lines = ["import math", ""]
    if not is_loopback(address):
        lines = [
            "import math",
            "import os",
            "",
            f'os.environ["PENSTOCK_URL"] = "{address}"',
            'os.environ["PENSTOCK_TOKEN"] = "pst_..."  # penstock token create',
            "",
        ]
    lines += [
        "import penstock",
        "",
        f'with penstock.init(project="{project}", config={{"lr": 0.01}}) as run:',
        "    for step in range(500):",
        "        loss = math.exp(-step / 120)",
        '        run.log({"train/loss": loss, "train/accuracy": 1 - loss}, step=step)',
    ]
    return "\n".join(lines) + "\n"


def copy_button(text: str, label: str = "Copy") -> dmc.CopyButton:
    """A button that puts a text on the clipboard and says so."""
    return dmc.CopyButton(
        value=text,
        children=label,
        copiedChildren="Copied",
        size="compact-xs",
        color="gray",
        copiedColor="teal",
        timeout=1500,
        buttonProps={"variant": "default"},
    )


def empty_project(project: str, address: str) -> html.Div:
    """What a project without runs shows."""
    code = snippet(project, address)
    return html.Div(
        className="empty",
        children=[
            html.Div(icon("compare", 30), className="message-icon"),
            html.H2("Log your first run"),
            html.P("Run this where your code runs. The run appears here as soon as its first point arrives."),
            code_block("Python", code),
            html.Div(
                className="empty-grid",
                children=[
                    code_block("This server", f"{address}\n"),
                    code_block("Or watch real models train", "penstock demo\n"),
                ],
            ),
        ],
    )


def code_block(title: str, text: str) -> Any:
    """A card with code that can be copied."""
    return html.Div(
        className="code-block",
        children=[
            html.Div([html.Span(title), copy_button(text)], className="code-head"),
            html.Pre(html.Code(text.rstrip("\n"))),
        ],
    )
