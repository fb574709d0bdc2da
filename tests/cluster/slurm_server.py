"""A Slurm of its own: munge, slurmctld, and two slurmd that are nodes of one core on loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = "munged", "slurmctld", "slurmd", "sbatch"

_CONFIG = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=1000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=1000
PartitionName=train Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def jobs() -> list[str]:
    """Those that wait or run."""
    words = ["squeue", "--noheader", "--array", "--format=%i"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[None]:
    """Runs it in this folder; Slurm's commands find it by the environment."""
    (folder / "state").mkdir()
    key, config = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    told = {"host": platform.node(), "user": getpass.getuser(), "folder": folder}
    config.write_text(_CONFIG.format(**told, ports=[_free_port() for _ in range(3)]))
    munge = {"key": key, "socket": folder / "munge.sock", "pid": folder / "munge.pid"}
    munge |= {"log": folder / "munge.log", "seed": folder / "munge.seed"}
    names = {"socket": "socket"} | {name: f"{name}-file" for name in munge if name != "socket"}
    options = [f"--{names[name]}={path}" for name, path in munge.items()]
    daemons = [
        ["munged", "--foreground", "--force", *options],
        ["slurmctld", "-D", "-f", str(config)],
        *(["slurmd", "-D", "-f", str(config), "-N", name] for name in ("n1", "n2")),
    ]
    os.environ["SLURM_CONF"] = str(config)
    started = []
    try:
        for words in daemons:
            with (folder / f"{words[0]}.out").open("ab") as out:
                started.append(subprocess.Popen(words, stdout=out, stderr=out))
            if words[0] == "munged":
                _until((folder / "munge.sock").exists)
        _until(lambda: _idle_nodes() == 2)
        yield
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        del os.environ["SLURM_CONF"]


def _idle_nodes() -> int:
    words = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return len(done.stdout.split())


def _until(holds, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "Slurm does not start"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
