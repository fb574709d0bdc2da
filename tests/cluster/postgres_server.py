"""A PostgreSQL server of the tests' own: started, killed and started again at will."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg


class PostgresServer:
    """``binaries`` are PostgreSQL's; data are below ``folder``. It listens on a free loopback port,
    and asks everybody for ``password``."""

    user = "searcher"

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder, self.bin = folder, binaries
        self.password = f"canary-{secrets.token_hex(8)}"
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # PostgreSQL refuses to run as root
        self.account = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if self.account:
            shutil.chown(folder, "nobody", "nogroup")
        secret = folder / "secret"
        secret.write_text(self.password)
        if self.account:
            shutil.chown(secret, "nobody", "nogroup")
        subprocess.run(
            [
                self.bin / "initdb", "--pgdata", folder / "data", "--username", self.user,
                "--auth", "scram-sha-256", "--pwfile", secret, "--no-sync", "--locale", "C",
                "--encoding", "UTF8",
            ],
            check=True, stdout=subprocess.DEVNULL, cwd=folder, **self.account,
        )  # fmt: skip
        secret.unlink()

    def start(self) -> None:
        """Returns when it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port),
                    "-k", self.folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                ],
                stdout=log, stderr=log, cwd=self.folder, **self.account,
            )  # fmt: skip
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with contextlib.suppress(psycopg.OperationalError):
                self.connect("postgres").close()
                return
            time.sleep(0.05)

    def kill(self) -> None:
        """As a crash: nothing is written any more, and what was begun is undone at the start."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=self.user, password=self.password,
            dbname=database, autocommit=True,
        )  # fmt: skip

    def make_database(self, name: str) -> str:
        """An empty one; its address, without the password."""
        with contextlib.closing(self.connect("postgres")) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.address(name)

    def address(self, database: str, host: str = "127.0.0.1") -> str:
        return f"postgresql+psycopg://{self.user}@{host}:{self.port}/{database}"


@contextlib.contextmanager
def running_server(binaries: Path) -> Iterator[PostgresServer]:
    """In a folder that its account can reach, which those of pytest are not; in memory where there
    is room, as every database is some hundred files."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30
    parent = memory if roomy else None
    with tempfile.TemporaryDirectory(prefix="dnsearch-postgres-", dir=parent) as folder:
        server = PostgresServer(Path(folder), binaries)
        server.start()
        try:
            yield server
        finally:
            server.kill()
