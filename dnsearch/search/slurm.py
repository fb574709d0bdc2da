"""Training on the nodes of a Slurm cluster: a Ray cluster of jobs, for as long as a command runs.

Short trainings would wait in Slurm's queue for longer than they take, so a job is a node that
serves many: the head of a Ray cluster runs beside this process, and each job joins it. Jobs end
with the head, and the head with this process. A job that is preempted is queued again by Slurm; one
that has reached its time limit is submitted again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dnsearch.cachedir import cache_root
from dnsearch.config import ClusterConfig
from dnsearch.errors import ConfigError, MachineError
from dnsearch.files import make_folder
from dnsearch.search.cluster import RayWorkers, answers, connect, imported, nodes
from dnsearch.text import counted

START_SECONDS = 60.0
"""In which the head must have started."""

QUEUE_SECONDS = 15.0
"""From one look at Slurm's queue to the next."""

MOST_IN_VAIN = 3
"""Times that jobs are submitted of which none joins."""

_RAY = f"{shlex.quote(sys.executable)} -m ray.scripts.scripts start --block --disable-usage-stats"

# It ends with its input, and so with this process, however that dies.
_HEAD = f"""
{_RAY} --head --num-cpus=0 --num-gpus=0 --include-dashboard=false --port="$1" --temp-dir="$2" \\
    > "$2.log" 2>&1 &
head=$!
cat
kill $head
wait $head
rm -rf "$2" "$2.log"
"""

# Of two Ray nodes that start on one machine at the same moment, one takes the other's sockets.
_JOB = f"""#!/bin/sh
# A node of dnsearch's Ray cluster.
log=$(mktemp)
exec 9> "${{TMPDIR:-/tmp}}/dnsearch-$(id -u).lock"
flock 9
{_RAY} --address="$DNSEARCH_HEAD" --num-cpus="${{SLURM_CPUS_ON_NODE:-1}}" > "$log" 2>&1 9>&- &
node=$!
trap 'kill $node' TERM
until grep -q "runtime started" "$log" || ! kill -0 $node 2> /dev/null; do sleep 0.2; done
exec 9>&-
code=0
while kill -0 $node 2> /dev/null; do wait $node; code=$?; done
cat "$log"
rm -f "$log"
exit $code
"""

logger = logging.getLogger(__name__)


class SlurmWorkers(RayWorkers):
    """Those of jobs that are submitted to Slurm."""

    _jobs: SlurmJobs | None = None

    def join(self, config: ClusterConfig) -> dict[str, float]:
        """See ``RayWorkers``: submits the jobs and waits for the first to begin. Raises ConfigError
        where Slurm is not here or refuses the jobs, MachineError where they end at once."""
        self._jobs = SlurmJobs(config)
        return self._jobs.first()

    def look(self) -> list[str]:
        """See ``RayWorkers``: submits jobs again that have ended."""
        return self._jobs.look() if self._jobs else []

    def leave(self) -> None:
        """See ``RayWorkers``: the cluster ends with its jobs."""
        super().leave()
        if self._jobs:
            self._jobs.close()


class SlurmJobs:
    """A Ray head on this machine, and as many jobs as ``cluster.nodes`` that join it."""

    def __init__(self, config: ClusterConfig) -> None:
        if not shutil.which("sbatch"):
            rule = "needs Slurm's command sbatch, which this machine does not have"
            raise ConfigError("cluster.engine", rule, config.engine)
        self.config, self._submitted = config, list[str]()
        self._logs = cache_root() / "slurm"
        make_folder(self._logs)
        self._looked, self._in_vain, self._seen = time.monotonic(), 0, 0
        with contextlib.ExitStack() as begun:  # ends where anything fails
            self._set_token(begun)
            imported()
            self._address = self._start_head(begun)
            begun.callback(self._cancel)
            self._submit(config.nodes)
            self._begun = begun.pop_all()

    @staticmethod
    def _set_token(begun: contextlib.ExitStack) -> None:
        """Who does not know it cannot join, or have anything run. Ray reads it as it is
        imported."""
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        for name in token:
            if name in os.environ:
                begun.callback(os.environ.__setitem__, name, os.environ[name])
            else:
                begun.callback(os.environ.pop, name, None)
        os.environ |= token

    @staticmethod
    def _start_head(begun: contextlib.ExitStack) -> str:
        """Its address."""
        address, folder = f"{_own_address()}:{_free_port()}", tempfile.mkdtemp(prefix="dnsearch-")
        words = ["sh", "-c", _HEAD, "sh", address.rpartition(":")[2], folder]
        head = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
        assert head.stdin is not None
        begun.callback(head.stdin.close)
        until = time.monotonic() + START_SECONDS
        while not answers(address, 1.0):
            if head.poll() is not None or time.monotonic() > until:
                log = Path(f"{folder}.log")
                told = log.read_text(errors="replace").strip() if log.is_file() else ""
                raise MachineError(
                    "the head of a Ray cluster cannot be started here: "
                    f"{told.splitlines()[-1] if told else 'it does not answer'}"
                )
            time.sleep(0.2)
        return address

    def _submit(self, count: int) -> None:
        """Raises ConfigError with Slurm's own words where it refuses them."""
        config = self.config
        words = ["sbatch", "--parsable", "--job-name=dnsearch", "--requeue", f"--array=1-{count}"]
        words += [f"--output={self._logs / '%A_%a.log'}", "--export=ALL"]
        words += [f"--partition={config.partition}"] * (config.partition is not None)
        words += [f"--gres={config.gres}"] * (config.gres is not None)
        environment = os.environ | {"DNSEARCH_HEAD": self._address}
        done = subprocess.run(
            [*words, *config.sbatch],
            input=_JOB,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            told = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise ConfigError(
                "cluster", f"must be what Slurm accepts: {told}", shlex.join(words[4:])
            )
        self._submitted.append(done.stdout.strip().partition(";")[0])

    def first(self) -> dict[str, float]:
        """What the cluster will have once all jobs have begun, by what the first of them has.
        Raises MachineError where they end without having joined."""
        connect(self._address)
        logger.warning(
            "waiting for Slurm to start the first of %s (%s) ...",
            counted(self.config.nodes, "job"),
            self._submitted[0],
        )
        while True:
            for node in nodes():
                found = node.get("Resources", {})
                if node["Alive"] and found.get("CPU"):
                    return {name: self.config.nodes * found.get(name, 0) for name in ("CPU", "GPU")}
            self.look()
            time.sleep(1.0)

    def look(self) -> list[str]:
        """Submits jobs again that have ended, such as at their time limit; what it did, in words.
        Raises MachineError where they keep ending without having joined."""
        if time.monotonic() - self._looked < QUEUE_SECONDS:
            return []
        self._looked = time.monotonic()
        missing = self.config.nodes - self._queued()
        if missing <= 0:
            return []
        joined = len(nodes()) - 1  # those of all time, without the head
        self._in_vain = 0 if joined > self._seen else self._in_vain + 1
        self._seen = joined
        if self._in_vain >= MOST_IN_VAIN:
            raise MachineError(
                f"the Slurm jobs end without having joined, the last {self._submitted[-1]}; their "
                f"output is in {self._logs}"
            )
        self._submit(missing)
        return [f"{counted(missing, 'Slurm job')} had ended; as many are submitted again"]

    def _queued(self) -> int:
        """Jobs of ours that wait or run; all, where Slurm does not say."""
        words = [
            "squeue",
            "--noheader",
            "--array",
            "--format=%i",
            "--jobs",
            ",".join(self._submitted),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode and "Invalid job id" not in done.stderr:
            return self.config.nodes
        return len(done.stdout.split())

    def _cancel(self) -> None:
        subprocess.run(["scancel", *self._submitted], capture_output=True, check=False)

    def close(self) -> None:
        """Cancels the jobs and ends the head."""
        self._begun.close()


def _own_address() -> str:
    """This machine's, as others reach it (Ray finds it in the same way)."""
    from ray.util import get_node_ip_address

    return get_node_ip_address()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("", 0))
        return taken.getsockname()[1]
