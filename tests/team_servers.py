"""The servers of `deploy/compose.yaml`, as it says, on a machine of their own without containers.

A namespace gives them the names, ports and secrets that they have in Compose, and nothing of this
machine's: HAProxy, PostgreSQL, MLflow and replicas of `pasam serve` run their own commands and
configurations as they stand. It needs root on Linux.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
HOST = "pasam.example.org"
MLFLOW = f"https://mlflow.{HOST}"
INSIDE = "http://mlflow:5000"
GROUP = 20000
ACCOUNTS = {"Ada": 20001, "Ben": 20002, "postgres": 20003}
LOGINS = {"Ada": "lovelace-1843", "Ben": "franklin-1752"}
"""Passwords at the proxy."""
ADDRESSES = ("10.20.0.2", "10.20.0.3", "10.20.0.4", "10.20.0.5")
"""What containers of `serve` would get."""

SETUP = """
set -e
ip link set lo up
for address in {addresses}; do ip address add $address/32 dev lo; done
mkdir {folder}/etc {folder}/work
mount -t overlay etc -o lowerdir=/etc,upperdir={folder}/etc,workdir={folder}/work /etc
cp {folder}/hosts {folder}/passwd {folder}/group /etc
mount -t tmpfs none /run
mkdir -p /run/sshd
cp -r {folder}/secrets /run/secrets
echo ready
exec sleep infinity
"""

NAMES = """
import pathlib, socket, struct, sys
names, server = pathlib.Path(sys.argv[1]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.11", 53))
while True:
    query, client = server.recvfrom(2048)
    end = query.index(0, 12)
    parts, at = [], 12
    while query[at]:
        parts.append(query[at + 1 : at + 1 + query[at]].decode())
        at += query[at] + 1
    kind = struct.unpack(">H", query[end + 1 : end + 3])[0]
    known = dict(line.split(" ", 1) for line in names.read_text().splitlines())
    found = known.get(parts[0], "").split() if kind == 1 else []
    answers = b"".join(
        b"\\xc0\\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(one) for one in found
    )
    head = query[:2] + struct.pack(">HHHHH", 0x8580, 1, len(found), 0, 0)
    server.sendto(head + query[12 : end + 5] + answers, client)
"""
"""Docker's name server: addresses of the containers of a service, as they come and go."""

PASAM = """
import sys
import pasam.models.build
from small_world import small_base
pasam.models.build.build_base = small_base
from pasam.cli.app import app
app()
"""
"""`pasam` whose base `tiny` is that of the small world."""


class Machine:
    """A machine with the team's servers.

    Args:
        folder: Where its files lie; every account can get there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
        folder.chmod(0o755)
        self._write_files()
        setup = SETUP.format(folder=folder, addresses=" ".join(ADDRESSES))
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "bash", "-c", setup], stdout=subprocess.PIPE
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n"

    def _write_files(self) -> None:
        own = self.folder
        names = f"{HOST} mlflow.{HOST} prefect.{HOST} git.example.org files.example.org"
        hosts = f"127.0.0.1 localhost {socket.gethostname()} postgres mlflow {names}\n"
        (own / "hosts").write_text(hosts)
        homes = {name: own / "home" / name for name in ACCOUNTS}
        lines = [f"{n}:x:{uid}:{GROUP}::{homes[n]}:/bin/bash" for n, uid in ACCOUNTS.items()]
        others = [
            line
            for line in Path("/etc/passwd").read_text().splitlines()
            if line.partition(":")[0] not in ACCOUNTS
        ]
        (own / "passwd").write_text("\n".join([*others, *lines]) + "\n")
        (own / "group").write_text(Path("/etc/group").read_text() + f"pasam:x:{GROUP}:\n")
        for name, home in homes.items():
            home.mkdir(parents=True)
            os.chown(home, ACCOUNTS[name], GROUP)
        (own / "services").write_text("mlflow 127.0.0.1\n")
        secrets = own / "secrets"
        secrets.mkdir(mode=0o755)
        made = subprocess.run(
            ["bash", "-ec",
             "openssl rand -hex 24 > postgres_password; openssl rand -hex 32 > pasam_token;"
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=pasam"
             f" -addext subjectAltName=DNS:{HOST},DNS:mlflow.{HOST} -keyout key -out crt;"
             "cat crt key > tls_certificate"],
            cwd=secrets, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        hashed = {
            who: subprocess.run(
                ["openssl", "passwd", "-6", word], capture_output=True, text=True, check=True
            ).stdout.strip()
            for who, word in LOGINS.items()
        }
        users = "".join(f"    user {who.lower()} password {one}\n" for who, one in hashed.items())
        (secrets / "proxy_users").write_text(f"userlist team\n{users}")
        for each in secrets.iterdir():
            each.chmod(0o640)
        (secrets / "crt").chmod(0o644)
        self._write_programs()

    def _write_programs(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "small_pasam.py").write_text(PASAM)
        for name, words in (
            ("python", ""),
            ("python3", ""),
            ("dvc", "-m dvc"),
            ("mlflow", "-m mlflow"),
            ("pasam", str(programs / "small_pasam.py")),
        ):
            program = programs / name
            program.write_text(f"#!/bin/sh\nexec '{sys.executable}' {words} \"$@\"\n")
            program.chmod(0o755)

    def environment(self, who: str, **more: str) -> dict[str, str]:
        """What a login of somebody knows."""
        kept = ("LANG", "TZ", "OMP_NUM_THREADS")
        trusted = str(self.folder / "secrets" / "crt")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "HOME": str(self.folder / "home" / who), "LOGNAME": who, "USER": who,
            "SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted,
            "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONDONTWRITEBYTECODE": "1", "WHO": who, "PASAM_HOST": HOST,
            **more,
        }  # fmt: skip

    def command(
        self, words: Sequence[str], who: str = "root", folder: Path | None = None
    ) -> list[str]:
        """A command as it is started by somebody on this machine."""
        inside = [
            "nsenter", f"--target={self.holder.pid}", "--mount", "--net", "--",
            "env", f"--chdir={folder or self.folder}",
        ]  # fmt: skip
        if who == "root":
            return [*inside, *words]
        # The interpreter may lie in root's home: whoever it is may read, nothing else.
        return [
            *inside, "setpriv", f"--reuid={ACCOUNTS[who]}", f"--regid={GROUP}", "--clear-groups",
            "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--", *words,
        ]  # fmt: skip

    def run(
        self, line: str, *, who: str = "root", folder: Path | None = None, fails: bool = False,
        **more: str,
    ) -> str:  # fmt: skip
        """Type a line, and return what it said."""
        done = subprocess.run(
            self.command(["bash", "-c", f"umask 002; set -e; {line}"], who, folder),
            env=self.environment(who, **more), capture_output=True, text=True,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{who}: {line}\n{said}"
        return said

    def start(
        self, name: str, words: Sequence[str], *, who: str = "root", inside: bool = True,
        **more: str,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start a server, perhaps one that enters the machine by itself; its log has its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(words, who) if inside else list(words),
                env=self.environment(who, **more) if inside else None,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self.processes[name]

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a server, and return its exit code."""
        process = self.processes.pop(name)
        os.killpg(process.pid, number)
        try:
            return process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    def log(self, name: str) -> str:
        """What a server has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait(self, name: str, line: str, seconds: float = 120.0) -> None:
        """Wait until a line succeeds, as long as a server lives."""
        end = time.monotonic() + seconds
        while self._code(line):
            assert self.processes[name].poll() is None, self.log(name)[-3000:]
            assert time.monotonic() < end, f"{line}\n{self.log(name)[-3000:]}"
            time.sleep(0.3)

    def _code(self, line: str) -> int:
        return subprocess.run(
            self.command(["bash", "-c", line]), env=self.environment("root"), check=False,
            capture_output=True,
        ).returncode  # fmt: skip

    def of_compose(self, service: str, places: Mapping[str, str]) -> list[str]:
        """A service's command, with other folders where a container has volumes."""
        words = self.compose[service]["command"]
        replaced = [word.replace("$$", "$").replace("${PASAM_HOST}", HOST) for word in words]
        for before, after in places.items():
            replaced = [word.replace(before, after) for word in replaced]
        return replaced

    def start_sshd(self) -> None:
        """Git's and DVC's server: everybody has an account and a key; a group shares `srv`."""
        shared, keys = self.folder / "srv", self.folder / "keys"
        keys.mkdir(mode=0o755)
        shared.mkdir()
        os.chown(shared, 0, GROUP)
        shared.chmod(0o2775)
        self.run("ssh-keygen -q -t ed25519 -N '' -f host", folder=keys)
        public = (keys / "host.pub").read_text()
        for who in LOGINS:
            home = self.folder / "home" / who
            self.run(
                "mkdir -m 700 .ssh; ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519;"
                f"for host in git files; do echo \"$host.example.org {public.strip()}\";"
                "done > .ssh/known_hosts; cp .ssh/id_ed25519.pub .ssh/authorized_keys",
                who=who, folder=home,
            )  # fmt: skip
        config = keys / "sshd_config"
        config.write_text(
            "ListenAddress 127.0.0.1\nPort 22\nUsePAM no\nPasswordAuthentication no\n"
            f"HostKey {keys / 'host'}\nPidFile none\nSubsystem sftp internal-sftp -u 0002\n"
        )
        self.start("sshd", [str(shutil.which("sshd")), "-D", "-e", "-f", str(config)])
        self.wait("sshd", "exec 3<>/dev/tcp/127.0.0.1/22")

    def start_postgres(self) -> None:
        """PostgreSQL with the databases of `deploy/postgres`."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        programs = found[-1].parent if found else Path(shutil.which("postgres") or "").parent
        data, word = self.folder / "home/postgres/data", self.folder / "secrets/postgres_password"
        self.run(
            f"'{programs}/initdb' -D {data} -U pasam --auth=scram-sha-256 --pwfile={word}",
            who="postgres",
        )
        server = [str(programs / "postgres"), "-D", str(data), "-k", str(data)]
        self.start("postgres", server, who="postgres")
        login = f"PGPASSWORD=$(cat {word}) psql -q -h postgres -U pasam"
        self.wait("postgres", f"{login} -d postgres -c 'select 1'")
        for script in sorted((ROOT / "deploy/postgres").glob("*.sql")):
            self.run(f"{login} -d postgres -f {script}")

    def start_mlflow(self) -> None:
        """MLflow on PostgreSQL, by the command that Compose has."""
        (self.folder / "artifacts").mkdir(exist_ok=True)
        places = {"destination /artifacts": f"destination {self.folder / 'artifacts'}"}
        self.start("mlflow", self.of_compose("mlflow", places))
        self.wait("mlflow", f"curl -sf {INSIDE}/health")

    def start_proxy(self) -> None:
        """HAProxy with `deploy/haproxy.cfg`, and the name server that it asks."""
        names = str(self.folder / "services")
        self.start("names", [sys.executable, "-c", NAMES, names])
        places = {"/usr/local/etc/haproxy": str(ROOT / "deploy")}
        self.start("proxy", self.of_compose("proxy", places))
        self.wait("proxy", f"curl -so /dev/null https://{HOST}/health")

    def start_replica(self, name: str, address: str) -> None:
        """A replica of the service, by the command that Compose has."""
        words = self.of_compose("serve", {"0.0.0.0": address})
        home = self.folder / "home" / name
        home.mkdir(parents=True, exist_ok=True)
        self.start(
            name, [str(self.folder / "bin/pasam"), *words],
            HOME=str(home), MLFLOW_TRACKING_URI=INSIDE, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
        )  # fmt: skip
        self.wait(name, f"curl -sf http://{address}:8000/ready")

    def name(self, service: str, *addresses: str) -> None:
        """Let the name server know the containers of a service."""
        draft = self.folder / "services.new"
        draft.write_text(f"mlflow 127.0.0.1\n{service} {' '.join(addresses)}\n")
        draft.replace(self.folder / "services")

    def close(self) -> None:
        """End everything."""
        for name in [*self.processes][::-1]:
            self.end(name, signal.SIGKILL if name == "mlflow" else signal.SIGTERM)
        self.holder.kill()
        self.holder.wait()
        assert self.holder.stdout is not None
        self.holder.stdout.close()


def missing() -> str:
    """Say what such a machine lacks here; nothing if it can be made."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "a machine of one's own needs root on Linux"
    programs = ("unshare", "nsenter", "setpriv", "ip", "openssl", "haproxy", "sshd", "psql", "curl")
    lacking = [program for program in programs if shutil.which(program) is None]
    return f"not here: {', '.join(lacking)}" if lacking else ""


def require_machine() -> None:
    """Skip a test where no machine can be made."""
    if reason := missing():
        pytest.skip(reason)
