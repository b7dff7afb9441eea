"""The node agent: lends its node to one front end at a time and runs one declared service there.

It is control only; requests never pass through it. Whatever happens to the agent, the service goes on: it has
a session of its own, and the state file lets the next agent find it. What ends a service is the front end's
word, a lapsed lease, or `--stop-services`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clustercore_apps.address import Address
from clustercore_apps.errors import AgentError, OperatorError
from clustercore_apps.service import security, wire
from clustercore_apps.service.job_handler import JobSupervisor, find_program, read_public_key
from clustercore_apps.service.launcher import Launcher, ProcessLauncher
from clustercore_apps.service.lease import FENCE_MAX, LeaseTable
from clustercore_apps.service.node_load import NodeLoad, cores_usable
from clustercore_apps.service.state_file import read_state, write_state
from clustercore_apps.service.supervisor import Instance, Order, Supervisor

log = logging.getLogger("clustercore.node")

CONNECTIONS_MAX = 32
REQUESTS_PER_CONNECTION_MAX = 16
LEASE_SECONDS_MAX = 3600.0
WRITE_SECONDS = 5.0
LINGER_SECONDS = 1.0
JOB_RESTART_SECONDS_MIN = 0.1
JOB_RESTART_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How an agent runs. `service_host` is the address that services listen on; durations are in seconds."""

    name: str
    listen: Address
    state_dir: Path
    service_host: str
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    report_interval: float = 0.5
    on_lapse: str = "stop"
    drain_deadline: float = 5.0
    stop_deadline: float = 5.0
    cores: int = 0
    allowed_programs: tuple[str, ...] = ()
    stop_services: bool = False
    job_program: str = ""
    job_key: Path | None = None
    job_peers: Path | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    writer: asyncio.StreamWriter
    peer: str
    requests: set[asyncio.Task[None]] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, message: wire.Message) -> None:
        """A peer that does not read is cut, so that nothing grows behind it."""
        async with self.lock:
            with contextlib.suppress(OSError):
                try:
                    async with asyncio.timeout(WRITE_SECONDS):
                        self.writer.write(wire.encode(message))
                        await self.writer.drain()
                except TimeoutError:
                    self.writer.transport.abort()


class Agent:
    """`await run(stop)` serves until `stop` is set."""

    def __init__(self, options: AgentOptions, launcher: Launcher | None = None) -> None:
        secured = options.token is not None and options.certificate is not None
        security.check_exposure("the agent", options.listen.host, secured=secured, insecure=options.insecure)
        self._options = options
        self._cores = options.cores or cores_usable()
        self._leases = LeaseTable()
        self._node_load = NodeLoad()
        self._connections: set[_Connection] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._lapsing = False
        self._lingering = 0
        self._state_path = options.state_dir / "agent.json"
        self._supervisor = Supervisor(
            options.name,
            options.service_host,
            self._cores,
            options.state_dir / "services",
            launcher or ProcessLauncher(),
            self._on_change,
            lambda program: not options.allowed_programs or program in options.allowed_programs,
        )
        self._job = JobSupervisor(
            f"{options.name}-job",
            options.service_host,
            self._cores,
            options.state_dir / "services",
            launcher or ProcessLauncher(),
            self._on_job_change,
        )
        self._job_public_key = read_public_key(options.job_key)
        self._job_restart: asyncio.Task[None] | None = None
        self._job_port = 0
        self.address: Address | None = None

    async def run(self, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
        """Listens, recovers, serves. Raises `OperatorError` when it cannot begin."""
        lock = self._lock_state_dir()
        try:
            server = await self._listen()
            self._recover()
            if ready is not None:
                ready.set()
            timer = asyncio.create_task(self._keep_time())
            await stop.wait()
            timer.cancel()
            server.close()
            for connection in list(self._connections):
                connection.writer.transport.abort()
            if self._options.stop_services:
                await self._stop_all(self._options.stop_deadline)
                self._leases.lease = None
            self._save()
            self._supervisor.close()
            self._job.close()
        finally:
            os.close(lock)

    def _lock_state_dir(self) -> int:
        directory = self._options.state_dir
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(directory / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OperatorError(
                f"state folder {directory} is no use: {error.strerror}; give a writable one with --state-dir"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise OperatorError(
                f"another agent uses state folder {directory}; give each its own --state-dir"
            ) from None
        return descriptor

    async def _listen(self) -> asyncio.Server:
        options = self._options
        context: ssl.SSLContext | None = None
        if options.certificate is not None and options.key is not None:
            context = security.server_context(options.certificate, options.key)
        try:
            server = await asyncio.start_server(
                self._serve,
                options.listen.host,
                options.listen.port,
                limit=wire.LINE_BYTES_MAX,
                ssl=context,
                ssl_handshake_timeout=wire.HELLO_SECONDS if context else None,
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise OperatorError(
                f"cannot listen on {options.listen}: {reason}; end what listens there or give another "
                f"--listen"
            ) from None
        self.address = Address(options.listen.host, server.sockets[0].getsockname()[1])
        return server

    def _recover(self) -> None:
        state = read_state(self._state_path)
        if state is None:
            return
        try:
            self._leases = LeaseTable.from_json(time.monotonic(), state["leases"])
            instance = Instance.from_json(state["instance"]) if state["instance"] else None
            job = Instance.from_json(state["job"]) if state.get("job") else None
        except (KeyError, TypeError, ValueError):
            raise OperatorError(
                f"state file {self._state_path} is damaged; end its service by hand, then remove the file"
            ) from None
        if instance is not None:
            found = self._supervisor.recover(instance)
            log.info("%s: %s", instance.service, self._supervisor.detail)
            if found and self._leases.lease is None and self._options.on_lapse == "stop":
                self._spawn(self._lapse(f"{instance.service} runs without a lease"))
        if job is not None:
            self._recover_job(job)
        self._save()

    def _recover_job(self, job: Instance) -> None:
        """The job handler of before: it goes on, or is started again, or ends with its service."""
        found = self._job.recover(job)
        log.info("%s: %s", job.service, self._job.detail)
        if self._supervisor.instance is None:
            self._spawn(self._job.stop(self._options.stop_deadline))
        elif not found:
            self._job_restart = asyncio.create_task(self._restart_job(job.port))

    def _save(self) -> None:
        instance, job = self._supervisor.instance, self._job.instance
        state = {
            "leases": self._leases.to_json(),
            "instance": instance.to_json() if instance else None,
            "job": job.to_json() if job else None,
        }
        try:
            write_state(self._state_path, state)
        except OSError as error:
            log.error("state file %s cannot be written: %s", self._state_path, error.strerror)

    def _on_change(self) -> None:
        self._save()
        log.info("%s: %s", self._supervisor.phase, self._supervisor.detail)
        self._tell_all({"type": "instance", **self._describe()})
        if self._supervisor.phase == "exited" and self._job.instance is not None:
            self._spawn(self._job.stop(self._options.stop_deadline))

    def _on_job_change(self) -> None:
        self._save()
        log.info("job handler %s: %s", self._job.phase, self._job.detail)
        if self._job.phase == "exited" and self._supervisor.phase == "active":
            self._job_restart = asyncio.create_task(self._restart_job(self._job_port))

    async def _start_job(self, service: Instance, port: int = 0) -> Instance:
        """Starts the job handler of a service. Raises `AgentError`; then only TCP reaches the service."""
        options = self._options
        words: list[str] = []
        if options.job_key is not None:
            words += ["--key", str(options.job_key)]
            words += ["--peers", str(options.job_peers)] if options.job_peers is not None else []
        elif options.insecure:
            words += ["--insecure", "yes"]
        program = find_program(options.job_program)
        instance = await self._job.start(self._job.handler_order(service, port, words, program))
        self._job_port = instance.port
        return instance

    async def _restart_job(self, port: int) -> None:
        """One that ended by itself comes back at the same port, with growing pauses."""
        pause = JOB_RESTART_SECONDS_MIN
        self._job_port = port
        while (service := self._supervisor.instance) is not None and self._supervisor.phase == "active":
            try:
                await self._start_job(service, port)
            except AgentError as error:
                log.warning("job handler of %s: %s", service.service, error.text)
                await asyncio.sleep(pause)
                pause = min(pause * 2, JOB_RESTART_SECONDS_MAX)
                continue
            # One that ends again and again must not be started without a pause.
            await asyncio.sleep(JOB_RESTART_SECONDS_MIN)
            return

    async def _stop_all(self, deadline: float) -> bool:
        """The job handler first: it finishes what it has. Then the service; true when it ended itself."""
        await self._stop_job(deadline)
        return await self._supervisor.stop(deadline)

    async def _stop_job(self, deadline: float) -> None:
        if self._job_restart is not None:
            self._job_restart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._job_restart
            self._job_restart = None
        if self._job.instance is not None:
            await self._job.stop(deadline)

    def _tell_all(self, message: wire.Message) -> None:
        for connection in self._connections:
            self._spawn(connection.send(message))

    def _describe(self) -> dict[str, Any]:
        supervisor, lease = self._supervisor, self._leases.lease
        return {
            "phase": supervisor.phase,
            "detail": supervisor.detail,
            "instance": supervisor.instance.to_json() if supervisor.instance else None,
            "lease": lease and {"front": lease.front, "service": lease.service, "fence": lease.fence},
            "fence_highest": self._leases.fence_highest,
        }

    def _load(self) -> dict[str, Any]:
        return {**self._node_load.sample(), **self._supervisor.load()}

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _keep_time(self) -> None:
        """Reports load and takes lapsed leases back."""
        report_due = time.monotonic()
        while True:
            await asyncio.sleep(min(0.1, self._options.report_interval))
            now = time.monotonic()
            if (lease := self._leases.lapsed(now)) is not None:
                self._save()
                self._tell_all({"type": "instance", **self._describe()})
                what = f'lease {lease.fence} of front end "{lease.front}" lapsed'
                log.warning("%s", what)
                if self._options.on_lapse == "stop" and self._supervisor.instance is not None:
                    self._spawn(self._lapse(what))
            if now >= report_due:
                report_due = now + self._options.report_interval
                if self._connections:
                    self._tell_all({"type": "load", **self._load()})
                else:
                    self._load()

    async def _lapse(self, why: str) -> None:
        """Nobody may command the service any more: let its connections end, then end it."""
        self._lapsing = True
        try:
            await self._stop_job(self._options.drain_deadline)
            drained = await self._supervisor.drained(self._options.drain_deadline)
            log.warning(
                "%s: stopping the service (%s)", why, "drained" if drained else "drain deadline passed"
            )
            await self._supervisor.stop(self._options.stop_deadline)
        finally:
            self._lapsing = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, str(writer.get_extra_info("peername")))
        try:
            if len(self._connections) >= CONNECTIONS_MAX:
                raise AgentError("BUSY", f"{CONNECTIONS_MAX} connections are open, which is the limit")
            # Counted before the greeting, so that silent ones count as well.
            self._connections.add(connection)
            await self._greet(reader, connection)
            while (message := await wire.receive(reader, wire.IDLE_SECONDS)) is not None:
                self._begin(connection, message)
        except AgentError as error:
            log.warning("%s: %s", connection.peer, error)
            await connection.send({"type": "error", "code": error.code, "text": error.text})
            await self._linger(reader, writer)
        except TimeoutError:
            await connection.send(
                {"type": "error", "code": "TIMEOUT", "text": "nothing was said for too long"}
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _linger(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads what is still under way: closing over unread bytes would reset the stream, error and all."""
        if self._lingering >= CONNECTIONS_MAX:
            return
        self._lingering += 1
        try:
            if writer.can_write_eof():
                writer.write_eof()
            async with asyncio.timeout(LINGER_SECONDS):
                while await reader.read(wire.LINE_BYTES_MAX):
                    continue
        except (OSError, TimeoutError):
            pass
        finally:
            self._lingering -= 1

    async def _greet(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        hello = await wire.receive(reader, wire.HELLO_SECONDS)
        if hello is None or hello["type"] != "hello":
            raise AgentError("BAD_MESSAGE", 'the first message must be a "hello"')
        if hello.get("protocol") != wire.PROTOCOL:
            raise AgentError(
                "PROTOCOL", f"protocol is {hello.get('protocol')!r:.40}, this agent speaks {wire.PROTOCOL}"
            )
        wire.take_string(hello, "front")
        expected = self._options.token
        if expected is not None and not security.is_same_token(str(hello.get("token", "")), expected):
            raise AgentError("DENIED", "token is wrong or missing")
        welcome = {
            "type": "welcome",
            "protocol": wire.PROTOCOL,
            "node": self._options.name,
            "address": self._options.service_host,
            "cores": self._cores,
            **self._describe(),
        }
        await connection.send(welcome)

    def _begin(self, connection: _Connection, message: wire.Message) -> None:
        if message["type"] != "request":
            raise AgentError("BAD_MESSAGE", f'"{message["type"]:.40}" is not expected here; send a "request"')
        wire.take_integer(message, "id", 0, FENCE_MAX)
        if len(connection.requests) >= REQUESTS_PER_CONNECTION_MAX:
            raise AgentError("BUSY", f"{REQUESTS_PER_CONNECTION_MAX} requests are open, which is the limit")
        task = asyncio.create_task(self._answer(connection, message))
        connection.requests.add(task)
        task.add_done_callback(connection.requests.discard)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _answer(self, connection: _Connection, message: wire.Message) -> None:
        reply: wire.Message = {"type": "reply", "id": message["id"], "ok": True}
        try:
            reply.update(await self._do(message))
        except AgentError as error:
            reply.update(ok=False, code=error.code, text=error.text)
        except Exception:
            log.exception("request %s failed", message.get("verb"))
            reply.update(ok=False, code="INTERNAL", text="the agent failed; its log says more")
        await connection.send(reply)

    async def _do(self, message: wire.Message) -> dict[str, Any]:
        verb = wire.take_string(message, "verb")
        if verb == "load":
            return self._load()
        if verb == "describe":
            return self._describe()
        fence = wire.take_integer(message, "fence", 1, FENCE_MAX)
        if verb == "lease":
            return self._lease(message, fence)
        if verb == "renew":
            seconds = wire.take_number(message, "seconds", 0.1, LEASE_SECONDS_MAX)
            self._leases.renew(time.monotonic(), fence, seconds)
            return {}
        if verb == "start":
            return await self._start(message, fence)
        if verb == "stop":
            self._leases.check(fence)
            return {"orderly": await self._stop_all(wire.take_number(message, "deadline", 0, 3600))}
        if verb == "release":
            return await self._release(fence)
        raise AgentError("BAD_MESSAGE", f'"{verb:.40}" is not a verb of this protocol')

    def _lease(self, message: wire.Message, fence: int) -> dict[str, Any]:
        front, service = wire.take_string(message, "front", 64), wire.take_string(message, "service", 64)
        seconds = wire.take_number(message, "seconds", 0.1, LEASE_SECONDS_MAX)
        if self._lapsing:
            raise AgentError("BUSY", "the service of a lapsed lease is being stopped; try again")
        self._leases.give(time.monotonic(), front, service, fence, seconds)
        self._save()
        self._tell_all({"type": "instance", **self._describe()})
        return self._describe()

    async def _start(self, message: wire.Message, fence: int) -> dict[str, Any]:
        lease = self._leases.check(fence)
        order = Order(
            service=lease.service,
            command=wire.take_strings(message, "command", 256, 1),
            files=wire.take_string_table(message, "files", 32),
            environment=wire.take_string_table(message, "environment", 256),
            port=wire.take_integer(message, "port", 0, 65535),
            stop_signal=wire.take_string(message, "stop_signal", 8),
            start_deadline=wire.take_number(message, "deadline", 0.01, 3600),
        )
        if any("/" in name or name in ("", ".", "..") for name in order.files):
            raise AgentError("BAD_MESSAGE", '"files" must have plain names')
        if order.stop_signal not in ("TERM", "QUIT", "INT", "HUP", "USR1", "USR2"):
            raise AgentError("BAD_MESSAGE", f'"stop_signal" is {order.stop_signal!r}')
        if "/" in order.service or order.service in ("", ".", ".."):
            raise AgentError("BAD_MESSAGE", "service must have a plain name")
        by_messages = message.get("transport", "tcp") == "messages"
        instance = await self._supervisor.start(order)
        reply: dict[str, Any] = {"instance": instance.to_json()}
        if by_messages:
            try:
                job = await self._start_job(instance)
                reply["job"] = {"address": job.address, "port": job.port, "key": self._job_public_key}
            except AgentError as error:
                reply["job_fault"] = error.text
        return reply

    async def _release(self, fence: int) -> dict[str, Any]:
        self._leases.check(fence)
        # Never leaves a service behind that nobody may command.
        await self._stop_all(self._options.stop_deadline)
        self._leases.release(fence)
        self._save()
        self._tell_all({"type": "instance", **self._describe()})
        return {}
