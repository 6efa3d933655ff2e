"""What is noted about where and how a run was started: commit, program, machine. Secrets are left out.

Only named facts are noted. Of the environment a short list of job variables, never the whole. Arguments that look like a
secret, or follow a flag that names one, are masked; addresses lose user and password.
"""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

__all__ = ["captured_git", "captured_process", "masked_arguments"]

GIT_TIMEOUT_S: Final = 5.0
MASK: Final = "***"

_JOB_VARIABLES: Final = (
    "CUDA_VISIBLE_DEVICES",
    "LOCAL_RANK",
    "RANK",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_PROCID",
    "WORLD_SIZE",
)
_SECRET_FLAG: Final = re.compile(
    r"(?i)(token|secret|passw|pwd|credential|api[-_]?key|access[-_]?key|private[-_]?key|auth)"
)
_SECRET_VALUE: Final = re.compile(
    r"(p(st|ss|sl|vc)_\w{8,}|gh[pousr]_\w{16,}|github_pat_\w+|glpat-[\w-]{16,}|sk-[\w-]{16,}|hf_\w{16,}|xox[abprs]-[\w-]+"
    r"|A(KIA|SIA)[A-Z0-9]{16}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]*)"
)


def captured_process() -> dict[str, str]:
    """Program, arguments, Python, machine and job, by key."""
    facts = {
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "host": platform.node(),
        "cpu_count": str(os.cpu_count() or 0),
        "program": sys.argv[0] if sys.argv else "",
        "arguments": " ".join(masked_arguments(sys.argv[1:])),
        "folder": str(Path.cwd()),
    }
    facts.update((f"env.{name}", os.environ[name]) for name in _JOB_VARIABLES if os.environ.get(name))
    return {key: value for key, value in facts.items() if value}


def captured_git(folder: Path) -> dict[str, str]:
    """Commit, branch, address and state of the repository around a folder; empty if there is none, or no git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    facts = {
        "git.commit": commit,
        "git.branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD") or "",
        "git.remote": _without_credentials(_git(folder, "config", "--get", "remote.origin.url") or ""),
        "git.dirty": "" if changed is None else ("true" if changed else "false"),
    }
    return {key: value for key, value in facts.items() if value}


def masked_arguments(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments without what looks like a secret."""
    return list(_masked(arguments))


def _masked(arguments: Sequence[str]) -> Iterator[str]:
    mask_next = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        is_flag = argument.startswith("-")
        if mask_next and not is_flag:
            yield MASK
            mask_next = False
            continue
        mask_next = False
        if equals and _SECRET_FLAG.search(name):
            yield f"{name}={MASK}"
            continue
        if is_flag and not equals and _SECRET_FLAG.search(name):
            mask_next = True
        cleaned = f"{name}={_without_credentials(value)}" if equals else _without_credentials(argument)
        yield _SECRET_VALUE.sub(MASK, cleaned)


def _without_credentials(address: str) -> str:
    if "://" not in address or "@" not in address:
        return address
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return MASK
    return urlunsplit(parts._replace(netloc=host))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
            # Asking for a state must neither write to the repository nor ask for a password.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
