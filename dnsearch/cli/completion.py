"""What a shell completes: runs, their picks, presets, files. It reads small files alone: a key
press must not import torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    split_arg_string,
)

from dnsearch.cli.runs import Kind, kind_of
from dnsearch.errors import RunError
from dnsearch.rundir import RUNS, RunDir


def complete_run(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The searches in reports/, and folders."""
    return [*_runs(incomplete), CompletionItem(incomplete, type="dir")]


def complete_network(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Presets, searches, RUN:PICK, and files; of a run behind the colon its picks."""
    run, colon, pick = incomplete.rpartition(":")
    if colon:
        return [_with(f"{run}:", item) for item in _picks(run, pick)]
    from dnsearch.arch.presets import PRESETS

    presets = [CompletionItem(name, help="preset") for name in PRESETS if _fits(name, incomplete)]
    return [*presets, *_runs(incomplete), CompletionItem(incomplete, type="file")]


def complete_pick(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The picks of the run that was typed before."""
    # behind an option that has no value yet click leaves the arguments unread
    run = ctx.params.get("run") or next(iter(ctx.args), None)
    return list(_picks(str(run), incomplete)) if run else []


def complete_file(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Files, by the shell."""
    return [CompletionItem(incomplete, type="file")]


def _fits(name: str, incomplete: str) -> bool:
    return name.startswith(incomplete)


def _with(prefix: str, item: CompletionItem) -> CompletionItem:
    return CompletionItem(f"{prefix}{item.value}", help=item.help)


def _runs(incomplete: str) -> Iterator[CompletionItem]:
    with contextlib.suppress(OSError):
        for folder in sorted(RUNS.iterdir()):
            if _fits(folder.name, incomplete) and kind_of(folder) is Kind.SEARCH:
                yield CompletionItem(folder.name, help="run")


def _picks(run: str, incomplete: str) -> Iterator[CompletionItem]:
    """By name and by key, as the run's last report has them; none of a run without one."""
    known = RunDir.known(run)
    if known is None:
        return
    with contextlib.suppress(RunError, LookupError, TypeError, AttributeError):
        told = known.read_json("summary.json")
        front = {str(network["key"]): str(network["name"]) for network in told["front"]}
        named = {name: str(network["name"]) for name, network in told["picks"].items()}
        for name, network in {**named, **front}.items():
            if _fits(name, incomplete):
                yield CompletionItem(name, help=network)


class _Bash(BashComplete):
    """Bash takes RUN:PICK for three words, and replaces the last of them alone."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and what is typed of it."""
        words = split_arg_string(os.environ["COMP_WORDS"])
        last = int(os.environ["COMP_CWORD"])
        typed = [*words[1:last], *(words[last : last + 1] or [""])]
        joined: list[str] = []
        for place, word in enumerate(typed):
            if place and (word == ":" or typed[place - 1] == ":"):
                joined[-1] += word
            else:
                joined.append(word)
        self._behind_colon = ":" in typed[-2:]
        return joined[:-1], joined[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Without what stands before the colon."""
        if self._behind_colon and item.type == "plain":
            item = CompletionItem(item.value.rpartition(":")[2], help=item.help)
        return super().format_completion(item)


def register() -> None:
    """Has click complete in bash as above."""
    add_completion_class(_Bash, "bash")
