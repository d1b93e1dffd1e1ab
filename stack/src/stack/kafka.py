"""One Kafka broker that is its own controller (KRaft), on loopback only."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stack.artifacts import Source, class_path, jars, java, programs
from stack.download import Progress
from stack.errors import StackError
from stack.process import LOOPBACK, Launch, port_answers

# Any 16 bytes in base64 will do; a constant lets a data directory be served again by any checkout.
CLUSTER_ID = "Z2FtbWFmbG93LXN0YWNrLQ"
_FORMAT_TIMEOUT_S = 60
_READY_TIMEOUT_S = 2.0
_HEAP_MB = 512
# Java optimises what it has seen four times as often as it would by itself: a stack lives for minutes, beside all the
# services, and the compiler took a third of the broker's processor time.
_PATIENT_COMPILER = (
    "-XX:Tier4InvocationThreshold=20000",
    "-XX:Tier4MinInvocationThreshold=2400",
    "-XX:Tier4CompileThreshold=60000",
    "-XX:Tier4BackEdgeThreshold=160000",
)

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Relative to the working directory: a comma in a path would be taken for a list.
    "log.dirs": "data",
    # One broker holds every replica.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "min.insync.replicas": "1",
    # Fewer internal partitions to recover after a kill.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "16777216",
    # A topic exists because its contract says so.
    "auto.create.topics.enable": "false",
    # Records carry event time: replayed ones are old, simulated ones may lie ahead, neither may be lost.
    "log.retention.ms": "-1",
    "log.message.timestamp.after.max.ms": "9223372036854775807",
    # Offsets of a stack that rested for a while are still good.
    "offsets.retention.minutes": "5256000",
    # A killed broker is let in again only when its old session is over (9 s by default).
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    # Failover of clients soon after a kill -9.
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2000",
}


def prepare(home: Path, ports: tuple[int, ...], source: Source, progress: Progress) -> Launch:
    """Fetch the broker, write its configuration, format the storage if it is new, and return how to start it.

    ``ports`` are those of the clients' and of the controller's listener.

    Raises:
        StackError: the jars cannot be had, or the storage cannot be formatted.
    """
    paths = jars(programs()["kafka"], source, progress)
    # Warnings and worse: the log of a stack that runs for weeks stays small.
    quiet = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
    command = (*java(home, *_PATIENT_COMPILER, *quiet, heap_mb=_HEAP_MB), "-cp", class_path(paths))
    (home / "server.properties").write_text(_properties(ports), encoding="utf-8")
    if not (home / "data" / "meta.properties").exists():
        progress("kafka: formatting the storage")
        _format(home, command)
    return Launch(
        name="kafka",
        command=(*command, "kafka.Kafka", "server.properties"),
        directory=home,
        log=home.parent / "logs" / "kafka.log",
        ready=lambda: serves(ports[0]),
    )


def serves(port: int) -> bool:
    """Return whether a broker answers there with itself in the cluster's metadata."""
    if not port_answers(port):
        return False
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0, "client.id": "stack-health"})
    try:
        return bool(admin.list_topics(timeout=_READY_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def _properties(ports: tuple[int, ...]) -> str:
    client, controller = (f"{LOOPBACK}:{port}" for port in ports)
    listeners = {
        "listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{client}",
        # Voters named here, not in the storage: a restart may move to other ports.
        "controller.quorum.voters": f"1@{controller}",
    }
    return "".join(f"{name}={value}\n" for name, value in {**SETTINGS, **listeners}.items())


def _format(home: Path, command: tuple[str, ...]) -> None:
    arguments = ("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", "server.properties")
    done = subprocess.run(  # noqa: S603 - the command is built by this package
        [*command, *arguments], cwd=home, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise StackError(f"kafka: cannot format {home / 'data'} ({' '.join(last)}): check space and rights there")
