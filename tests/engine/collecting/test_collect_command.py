"""The command ``paninifs collect``: its options, its last lines, its exit codes."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from paninifs.engine.cli import app
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.storage.errors import LeaseHeld, StorageUnreachable, UsageError

FINISHED = {"how": "finished", "reason": ""}


def collected(corpus="corpus", how="finished", reason="", **reasons):
    """What a collection of ten items returns, some of which have reasons."""
    progress = CollectProgress()
    not_kept = {name.replace("_", "-"): count for name, count in reasons.items()}
    progress.listed(10, total=10)
    for _ in range(10 - sum(not_kept.values())):
        progress.decided("kept")
    for name, count in not_kept.items():
        for _ in range(count):
            progress.decided("skipped" if name in ("duplicate", "robots") else "failed", name)
    progress.committed(10 - sum(not_kept.values()), 4096)
    progress.finished(how, reason)
    names = [name for name, count in not_kept.items() for _ in range(count)]
    failures = [(f"key {n}", name, "why\x1b[2J") for n, name in enumerate(names)]
    return SimpleNamespace(
        corpus=corpus,
        figures=progress.snapshot(),
        failed=lambda: pd.DataFrame(failures, columns=["key", "reason", "detail"]),
    )


@pytest.fixture
def collecting(monkeypatch):
    """Replaces `collect`: what it is given, and what it returns or raises."""
    asked = SimpleNamespace(given=None, answer=collected())

    def collect(source, corpus, **options):
        asked.given = {"source": source, "corpus": corpus, **options}
        if isinstance(asked.answer, BaseException):
            raise asked.answer
        return asked.answer

    module = ModuleType("paninifs.engine.collecting.collect")
    module.collect = collect
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def paninifs(*arguments):
    return CliRunner().invoke(app, ["collect", *arguments])


def test_options_become_arguments(collecting):
    ran = paninifs(
        *("arxiv", "corpus", "--contact", "me@example.org", "--rate", "4", "--connections", "1"),
        *("--host", "A.example=0.5", "--host", "b.example=10", "--allow-host", "127.0.0.1"),
        *("--max-items", "5", "--max-bytes", "1.5GB", "--max-time", "90min"),
        *("--max-dollars", "2", "--dollars-per-hour", "0.5", "--dollars-per-gib", "0.1"),
        *("--html", "resiliparse", "--retry-failed", "--refresh", "--append"),
        *("--option", "set=cs", "--option", "full_text=true", "--quiet"),
    )
    assert ran.exit_code == 0, ran.output
    assert ran.output == ""
    assert collecting.given == {
        "source": "arxiv",
        "corpus": "corpus",
        "contact": "me@example.org",
        "rate": 4.0,
        "connections": 1,
        "rates": {"a.example": 0.5, "b.example": 10.0},
        "allow_hosts": ("127.0.0.1",),
        "max_items": 5,
        "max_bytes": 1_500_000_000,
        "max_seconds": 5400.0,
        "max_dollars": 2.0,
        "dollars_per_hour": 0.5,
        "dollars_per_gib": 0.1,
        "html": "resiliparse",
        "retry_failed": True,
        "refresh": True,
        "append": True,
        "options": {"set": "cs", "full_text": True},
        "progress": False,
        "verbose": False,
    }


def test_the_contact_may_be_in_the_environment(collecting, monkeypatch):
    monkeypatch.setenv("PANINIFS_CONTACT", "me@example.org")
    paninifs("arxiv", "corpus")
    assert collecting.given["contact"] == "me@example.org"
    assert collecting.given["progress"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "a.example"), "--host must be a host's name"),
        (("--host", "a.example=0"), "--host must be a host's name"),
        (("--host", "a.example=inf"), "--host must be a host's name"),
        (("--host", "https://a.example/=1"), "--host must be a host's name"),
        (("--host", "=1"), "--host must be a host's name"),
        (("--max-bytes", "much"), "--max-bytes must be a size"),
        (("--max-bytes", "-1GB"), "--max-bytes must be a size"),
        (("--max-time", "soon"), "--max-time must be a time"),
        (("--max-time", "0s"), "--max-time must be a time"),
        (("--option", "set"), "--option must be KEY=VALUE"),
        (("--option", "1=set"), "--option must be KEY=VALUE"),
        (("--option", "a=1", "--option", "a=2"), "--option a is given twice"),
        (("--quiet", "--verbose"), "exclude each other"),
        (("--connections", "0"), "--connections"),
        (("--metrics", "99999"), "--metrics"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_asked(collecting, arguments, words):
    ran = paninifs("arxiv", "corpus", *arguments)
    assert ran.exit_code == 2
    assert words in " ".join(ran.output.replace("│", " ").split())
    assert collecting.given is None


def test_the_last_lines_of_a_clean_collection(collecting):
    ran = paninifs("folder:texts", "corpus")
    assert ran.exit_code == 0
    lines = ran.stdout.splitlines()
    assert lines[0] == "corpus: corpus, 10 texts, 4.00 kiB"
    assert lines[1].startswith("items: 10 of 10: 10 kept; 10 in ")
    assert lines[2:] == ["next: paninifs run corpus results.zarr"]


def test_reasons_are_counted_and_failures_change_the_exit_code(collecting):
    collecting.answer = collected(duplicate=2, robots=1, not_found=2, timeout=1)
    ran = paninifs("folder:texts", "corpus")
    assert ran.exit_code == 3
    lines = ran.stdout.splitlines()
    assert lines[1].startswith("items: 10 of 10: 4 kept, 3 skipped, 3 failed; 10 in ")
    assert lines[2] == "skipped: duplicate 2, robots 1"
    assert lines[3] == (
        "failed: not-found 2, timeout 1; which ones: --verbose; to try again: --retry-failed"
    )
    assert len(lines) == 5


def test_at_most_five_lines_whatever_the_reasons(collecting):
    many = ("not_found", "damaged", "busy", "bomb", "encrypted", "too_deep")
    collecting.answer = collected(duplicate=1, **dict.fromkeys(many, 1))
    ran = paninifs("folder:texts", "corpus")
    assert len(ran.stdout.splitlines()) == 5
    assert "others 2" in ran.stdout


def test_failed_items_are_named_to_those_who_ask(collecting):
    collecting.answer = collected(not_found=2, timeout=1)
    lines = paninifs("folder:texts", "corpus", "--verbose").stdout.splitlines()
    assert lines[5] == "  key 2: timeout (why\\x1b[2J)"
    assert lines[2] == "failed: not-found 2, timeout 1; to try again: --retry-failed"
    assert lines[3] == "  key 0: not-found (why\\x1b[2J)"
    assert lines[6].startswith("next:")


def test_many_failed_items_are_not_all_named(collecting, monkeypatch):
    monkeypatch.setattr("paninifs.engine.cli.collection.collect_summary.MOST_FAILURES", 2)
    collecting.answer = collected(not_found=7)
    lines = paninifs("folder:texts", "corpus", "-v").stdout.splitlines()
    assert lines[3:6] == [
        "  key 0: not-found (why\\x1b[2J)",
        "  key 1: not-found (why\\x1b[2J)",
        "  and 5 more: see failed() in Python",
    ]


def test_quiet_prints_only_what_failed(collecting):
    collecting.answer = collected(duplicate=1, not_found=1)
    ran = paninifs("folder:texts", "corpus", "--quiet")
    assert ran.output == "failed: not-found 1\n"
    assert ran.exit_code == 3


def test_a_limit_is_said_and_is_no_failure(collecting):
    collecting.answer = collected("my corpus", "limited", "5 items are listed")
    ran = paninifs("folder:texts", "my corpus")
    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[-1] == (
        "next: limited (5 items are listed): to go on, give a larger limit; "
        "paninifs run 'my corpus' results.zarr"
    )


def test_a_corpus_without_texts_is_not_to_be_run(collecting):
    collecting.answer = collected(not_found=10)
    ran = paninifs("folder:texts", "corpus")
    assert ran.stdout.splitlines()[-1] == (
        "next: nothing is kept yet; what was decided is in corpus/_collection/card.md"
    )


def test_one_text_is_not_several(collecting):
    collecting.answer = collected(not_found=9)
    assert paninifs("folder:texts", "corpus").stdout.startswith("corpus: corpus, 1 text, ")


def test_an_empty_source_is_named_so(collecting):
    progress = CollectProgress()
    progress.all_listed()
    progress.finished()
    collecting.answer = SimpleNamespace(corpus="corpus", figures=progress.snapshot())
    assert paninifs("folder:texts", "corpus").stdout.splitlines()[1] == "items: none were listed"


def test_json_has_all_counts(collecting):
    collecting.answer = collected(duplicate=1, not_found=1)
    ran = paninifs("folder:texts", "corpus", "--json")
    found = json.loads(ran.stdout)
    assert (found["listed"], found["kept"], found["skipped"], found["failed"]) == (10, 8, 1, 1)
    assert found["reasons"] == {"duplicate": 1, "not-found": 1}
    assert (found["state"], found["pending"], found["rows"]) == ("finished", 0, 8)
    assert collecting.given["progress"] is False


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("give a contact"), 2, "error: give a contact\n"),
        (
            LeaseHeld("another collector writes corpus"),
            2,
            "error: another collector writes corpus\n",
        ),
        (StorageUnreachable("the disk is gone"), 1, "failed: the disk is gone\n"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(collecting, error, code, line):
    collecting.answer = error
    ran = paninifs("arxiv", "corpus")
    assert (ran.exit_code, ran.stderr, ran.stdout) == (code, line, "")


def test_ctrl_c_says_what_is_kept(collecting):
    collecting.answer = KeyboardInterrupt()
    ran = paninifs("arxiv", "https://me:hunter2@a.example/corpus")
    assert ran.exit_code == 130
    assert "what was collected is kept in https://a.example/corpus" in ran.stderr
    assert "hunter2" not in ran.output


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_the_password_of_a_corpus_is_not_printed(collecting, how):
    collecting.answer = collected("https://me:hunter2@a.example/corpus")
    ran = paninifs("arxiv", "https://me:hunter2@a.example/corpus", *how)
    assert "https://a.example/corpus" in ran.stdout
    assert "hunter2" not in ran.output


def test_what_hosts_say_cannot_command_the_terminal(collecting):
    collecting.answer = collected("corpus", "failed", "503 [red]\x1b[2J", not_found=1)
    ran = paninifs("arxiv", "corpus")
    assert "\x1b" not in ran.output
    assert "[red]" in ran.output
