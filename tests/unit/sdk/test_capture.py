"""What is noted of a program, and that its secrets are not."""

import subprocess
from pathlib import Path

import pytest

from penstock.capture import captured_git, captured_process, masked_arguments
from penstock.system_metrics import SystemMetrics


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        (["--lr", "0.1"], ["--lr", "0.1"]),
        (["--api-key", "abc", "x"], ["--api-key", "***", "x"]),
        (["--api_key=abc"], ["--api_key=***"]),
        (["--password=p=q"], ["--password=***"]),
        (["HF_TOKEN=abc"], ["HF_TOKEN=***"]),
        (["--token", "--verbose"], ["--token", "--verbose"]),
        (["pst_" + "0" * 32 + "_abcdef"], ["***"]),
        (["hf_abcdefghijklmnopqrstuv"], ["***"]),
        (["--url=https://user:pass@host/x?y=1"], ["--url=https://host/x?y=1"]),
        (["postgres://user:pass@host/db"], ["postgres://host/db"]),
        (["AKIAIOSFODNN7EXAMPLE"], ["***"]),
    ],
)
def test_arguments_are_masked(arguments: list[str], masked: list[str]) -> None:
    assert masked_arguments(arguments) == masked


def test_the_environment_is_not_taken_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDERING_SECRET", "do-not-tell")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    facts = captured_process()
    assert facts["env.SLURM_JOB_ID"] == "77"
    assert "do-not-tell" not in str(facts)


def test_git(tmp_path: Path) -> None:
    assert captured_git(tmp_path) == {}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "trunk"], check=True)
    (tmp_path / "a.txt").write_text("one")
    subprocess.run([*git, "add", "a.txt"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://user:secret@example.org/x.git"], check=True)
    facts = captured_git(tmp_path)
    assert (facts["git.branch"], facts["git.dirty"], facts["git.remote"]) == (
        "trunk",
        "false",
        "https://example.org/x.git",
    )
    assert len(facts["git.commit"]) == 40
    (tmp_path / "a.txt").write_text("two")
    assert captured_git(tmp_path)["git.dirty"] == "true"


def test_system_metrics() -> None:
    row = SystemMetrics().measure()
    assert row["system/memory_used_bytes"] > 0
    assert row["system/process_memory_bytes"] > 0
    assert all(isinstance(float(value), float) for value in row.values())
