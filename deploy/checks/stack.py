"""The stack under test: a Compose project of its own, and what is done to its containers."""

import json
import os
import re
import socket
import subprocess
import time

from .report import eventually, note

DEPLOY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROLES = ["leads", "contracts", "billing", "reporting", "gateway"]


def run(*command, patience=120, stdin=None, stdout=subprocess.PIPE, env=None, may_end_with=(0,)):
    """Runs a command and returns what it printed; its failure is an exception with its last words."""
    done = subprocess.run(command, stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          timeout=patience, env=env, check=False)
    if done.returncode not in may_end_with:
        words = ((done.stdout or b"") + (done.stderr or b"")).decode(errors="replace").strip()[-600:]
        raise RuntimeError(f"`{' '.join(command[:6])} …` ended with {done.returncode}: {words}")
    return (done.stdout or b"").decode(errors="replace")


def free_ports():
    """Two ports that follow each other and are free on this machine."""
    for first in range(17400, 18400, 2):
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", first))
                two.bind(("127.0.0.1", first + 1))
                return [first, first + 1]
            except OSError:
                continue
    raise RuntimeError("no two free ports between 17400 and 18400")


class Stack:
    """A project of its own name, on ports of its own."""

    def __init__(self):
        self.project = f"otdel-check-{os.getpid()}"
        self.ports = free_ports()
        self.compose_command = self._find_compose()
        # Without a limit for a principal, whom the load here is made by.
        self.env = dict(os.environ, OTDEL_PUBLISH=f"127.0.0.1:{self.ports[0]}-{self.ports[1]}", OTDEL_RATE_LIMIT="0")

    @staticmethod
    def _find_compose():
        for command in (["docker", "compose"], ["docker-compose"]):
            try:
                note(run(*command, "version").splitlines()[0])
                return command
            except (OSError, RuntimeError):
                continue
        raise SystemExit("neither `docker compose` nor `docker-compose` works here")

    def compose(self, *arguments, **more):
        """Runs Compose on the project."""
        file = os.path.join(DEPLOY, "compose.yaml")
        return run(*self.compose_command, "-p", self.project, "-f", file, *arguments, env=self.env, **more)

    def build(self):
        """Builds the image, with the classic builder where nothing else is told."""
        self.compose("build", "init", patience=3000)

    def start(self):
        """Brings everything up and waits until it is ready."""
        self.compose("up", "-d", patience=600)
        for role in ROLES:
            self.ready(role)

    def operator(self, *command, **more):
        """Runs an operators' command and returns what it printed."""
        return self.compose("run", "--rm", "-T", "operator", *command, **more)

    def scale(self, role, count):
        """Runs this many replicas of a role, and waits until they are ready. Those there are stay as they are."""
        self.compose("up", "-d", "--no-deps", "--no-recreate", "--scale", f"{role}={count}", role, patience=180)
        self.ready(role, count)

    def containers(self, service, everything=False):
        """The ids of a service's containers that run, oldest first."""
        labels = [f"label=com.docker.compose.project={self.project}", f"label=com.docker.compose.service={service}",
                  "label=com.docker.compose.oneoff=False"]
        filters = [word for label in labels for word in ("--filter", label)]
        ids = run("docker", "ps", "--quiet", *(["--all"] if everything else []), *filters).split()
        return sorted(ids, key=lambda one: self.inspect(one)["Created"])

    def only(self, service):
        """A service's one container."""
        [container] = self.containers(service)
        return container

    def published(self):
        """The ports of this machine at which there is a gateway: the engine takes any of the range that is free."""
        ports = [self.inspect(one)["NetworkSettings"]["Ports"]["7400/tcp"] for one in self.containers("gateway")]
        return sorted({int(one["HostPort"]) for published in ports for one in published})

    @staticmethod
    def inspect(container):
        """What the engine knows of a container."""
        return json.loads(run("docker", "inspect", container))[0]

    def is_ready(self, container):
        """Whether the role inside says that it is ready."""
        try:
            run("docker", "exec", container, "otdel", "healthcheck", patience=15)
            return True
        except (RuntimeError, subprocess.TimeoutExpired):
            return False

    def ready(self, role, count=1, patience=120):
        """Waits until this many containers of a role are ready."""
        def all_are():
            containers = self.containers(role)
            return len(containers) == count and all(map(self.is_ready, containers))
        eventually(f"{count} of {role} ready", all_are, patience)

    def metrics(self, container):
        """What a role measures: the series by name and labels, with their values."""
        ask = r'exec 3<>/dev/tcp/127.0.0.1/7409; printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; cat <&3'
        text = run("docker", "exec", container, "bash", "-c", ask)
        series = re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in series}

    def calls(self, container):
        """How many calls a role has answered."""
        return sum(value for name, value in self.metrics(container).items()
                   if name.startswith("rpc_server_call_duration_seconds_count"))

    def network(self, verb, network, container, service):
        """Takes a container off a network, or puts it back under its service's name."""
        alias = ["--alias", service] if verb == "connect" else []
        run("docker", "network", verb, *alias, f"{self.project}_{network}", container)

    def logs(self):
        """The last words of every container that is not well, or of all of them where each seems to be."""
        ids = run("docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}").split()
        known = [self.inspect(one) for one in ids]
        def is_well(one):
            state = one["State"]
            return state["ExitCode"] == 0 and state.get("Health", {}).get("Status", "healthy") == "healthy"
        for one in [one for one in known if not is_well(one)] or known:
            note(f"── {one['Name']} ({one['State']['Status']}, exit code {one['State']['ExitCode']})")
            done = subprocess.run(["docker", "logs", "--tail", "12", one["Id"]], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=30, check=False)
            for line in done.stdout.decode(errors="replace").splitlines():
                note(line[:400])

    def destroy(self):
        """Takes everything away, volumes too."""
        for container in run("docker", "ps", "--quiet", "--filter", "status=paused", "--filter",
                             f"label=com.docker.compose.project={self.project}").split():
            run("docker", "unpause", container)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20", patience=300)

    def wait_for(self, seconds):
        """Lets time pass: for a fault to last."""
        time.sleep(seconds)
