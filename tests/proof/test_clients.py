"""Readiness asks by the clients that a service's code has made, and by its own where there is none, against
real servers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import Project
from tests.support.servers import PythonServer, Server, becomes, free_port, get, own_folder, serving

pytest_plugins = ["tests.support.real_servers"]
pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        shutil.which("memcached") is None, reason="memcached is not installed: .ci/run installs the servers"
    ),
]

STORES = """\
import os

import boto3
import redis
from celery import Celery
from confluent_kafka import Producer
from psycopg_pool import ConnectionPool
from pymemcache.client.base import Client

pool = ConnectionPool(
    f"postgresql://shop:{os.environ['PG_PASSWORD']}@{os.environ['PG_HOST']}:{os.environ['PG_PORT']}/postgres",
    min_size=2,
    timeout=30,
)
sessions = redis.Redis(os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"]), password=os.environ["REDIS_PASSWORD"])
jobs = Celery("jobs", broker=f"amqp://guest:guest@{os.environ['MQ_HOST']}:{os.environ['MQ_PORT']}//")
events = Producer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], "log_level": 0})
pages = Client(os.environ["MEMCACHED_SERVERS"])
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_PLACE"])
sqs = boto3.resource("sqs", endpoint_url=os.environ["AWS_PLACE"])


def put(key, data):
    s3.put_object(Bucket=os.environ["UPLOAD_BUCKET"], Key=key, Body=data)


def send(text):
    sqs.meta.client.send_message(QueueUrl=os.environ["JOBS_QUEUE_URL"], MessageBody=text)
"""
APP = """\
from flask import Flask

from shop import stores


def create_app():
    app = Flask(__name__)
    from shop.health import init_service

    init_service(app, "shop")
    return app
"""
KAFKA = """\
import sys
import time

from confluent_kafka import Producer

producer = Producer({"bootstrap.servers": "none:1", "test.mock.num.brokers": 1, "log_level": 0})
(broker,) = producer.list_topics(timeout=30).brokers.values()
print(broker.port, flush=True)
time.sleep(3600)
"""
NOBODY = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@pytest.fixture
def kafka(folder: Path) -> Iterator[Server]:
    """librdkafka's cluster for tests: it speaks the protocol, and takes a port of its own each time."""
    server = PythonServer(
        lambda data, port: [sys.executable, "-c", KAFKA], own_folder(folder, f"kafka-{free_port()}")
    )
    server.process = subprocess.Popen(
        server.command, stdout=subprocess.PIPE, text=False, start_new_session=True
    )
    assert server.process.stdout is not None
    server.port = int(server.process.stdout.readline())
    yield server
    server.stop()


class Aws:
    """A bucket and a queue at moto."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in NOBODY.items():
            monkeypatch.setenv(name, value)
        self.server = server
        self.place = f"http://127.0.0.1:{server.port}"

    def __call__(self, service: str) -> Any:
        import boto3

        return boto3.client(service, endpoint_url=self.place)

    def make(self) -> str:
        """Make what isn't there; returns the queue's address."""
        if not self("s3").list_buckets()["Buckets"]:
            self("s3").create_bucket(
                Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
            )
        return str(self("sqs").create_queue(QueueName="jobs")["QueueUrl"])


@pytest.fixture
def bucket(aws: Server, monkeypatch: pytest.MonkeyPatch) -> Aws:
    if aws.process is None:  # a test that failed has left it so
        aws.start()
    return Aws(aws, monkeypatch)


def test_readiness_follows_the_clients_of_the_code_without_a_restart(
    project: Project,
    postgresql: Server,
    redis: Server,
    rabbitmq: Server,
    memcached: Server,
    kafka: Server,
    bucket: Aws,
) -> None:
    """An adopted project: of most servers only host and port are known, so that nothing but the client can
    ask.
    """
    project.write("shop/__init__.py", APP)
    project.write("shop/stores.py", STORES)
    project.write(
        "requirements.txt", "flask\nredis\nboto3\ncelery\nconfluent-kafka\npsycopg[pool]\npymemcache\n"
    )
    project.copy()
    proposed = {
        (one["kind"], one["target"], one.get("client")): one["required"]
        for one in project.answers()["readiness"]
    }
    assert proposed == {
        ("postgresql", "", "stores.py:pool"): True,
        ("redis", "", "stores.py:sessions"): False,
        ("rabbitmq", "", "stores.py:jobs"): True,
        ("kafka", "KAFKA_BOOTSTRAP_SERVERS", "stores.py:events"): True,
        ("memcached", "MEMCACHED_SERVERS", None): False,
        ("s3", "UPLOAD_BUCKET", "stores.py:s3"): False,
        ("sqs", "JOBS_QUEUE_URL", "stores.py:sqs"): True,
    }
    environment = {
        **{"PG_HOST": "127.0.0.1", "PG_PORT": str(postgresql.port), "PG_PASSWORD": "hunter2"},
        **{"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port), "REDIS_PASSWORD": "hunter2"},
        **{"MQ_HOST": "127.0.0.1", "MQ_PORT": str(rabbitmq.port), "HEALTH_TOKEN": "let-me-in"},
        **{
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.port}",
            "MEMCACHED_SERVERS": f"127.0.0.1:{memcached.port}",
        },
        **{"AWS_PLACE": bucket.place, "UPLOAD_BUCKET": "uploads", "JOBS_QUEUE_URL": bucket.make()},
    }
    well = dict.fromkeys(("postgresql", "redis", "rabbitmq", "kafka", "memcached", "s3", "sqs"), "pass")
    with serving(project, "--threads=4", **environment) as (address, _):
        becomes(address, 200, **well)
        for name, server, code in (
            ("postgresql", postgresql, 503),
            ("redis", redis, 200),
            ("memcached", memcached, 200),
        ):
            server.stop()
            becomes(address, code, **{**well, name: "fail" if code == 503 else "warn"})
            server.start()
            becomes(address, 200, **well)
        with redis.hanging():  # the client has no timeout
            becomes(address, 200, redis="warn", postgresql="pass")
        becomes(address, 200, **well)
        with kafka.hanging():
            becomes(address, 503, kafka="fail", sqs="pass")
        becomes(address, 200, **well)
        bucket("s3").delete_bucket(Bucket="uploads")
        becomes(address, 200, s3="warn", sqs="pass")
        bucket.server.stop()
        becomes(address, 503, s3="warn", sqs="fail")
        bucket.server.start()
        bucket.make()
        becomes(address, 200, **well)
        rabbitmq.stop()
        kafka.stop()
        becomes(address, 503, rabbitmq="fail", kafka="fail", postgresql="pass")
        rabbitmq.start()
        becomes(address, 503, rabbitmq="pass", kafka="fail")
        told = get(address + "/readiness", Authorization="Bearer let-me-in")[1]["checks"]
        assert told["redis"]["about"] == "redis at stores.py:sessions"


ENGINE = "from sqlalchemy import create_engine\nclient = create_engine({url!r}, pool_size=3)\n"
ENGINE += "client.dispose()\n[one.close() for one in [client.connect() for _ in range(3)]]\n"
PSYCOPG = (
    "from psycopg_pool import ConnectionPool\nclient = ConnectionPool({url!r}, min_size=4)\nclient.wait()\n"
)
PSYCOPG2 = (
    "from psycopg2.pool import ThreadedConnectionPool\nclient = ThreadedConnectionPool(4, 9, {url!r})\n"
)


@pytest.mark.parametrize("code", [ENGINE, PSYCOPG, PSYCOPG2], ids=["SQLAlchemy", "psycopg", "psycopg2"])
def test_connections_of_a_pool_that_died_with_the_server_are_replaced(
    project: Project, postgresql: Server, code: str
) -> None:
    entry = {
        "service": "bot",
        "kind": "postgresql",
        "target": "",
        "required": True,
        "client": "stores.py:client",
    }
    project.copy(services=[{"name": "bot", "kind": "worker"}], readiness=[entry])
    url = f"postgresql://shop:hunter2@127.0.0.1:{postgresql.port}/postgres"
    project.write("services/bot/stores.py", code.format(url=url))
    with worker(project, "stores") as address:
        becomes(address, 200, postgresql="pass")
        postgresql.stop()
        becomes(address, 503, postgresql="fail")
        postgresql.start()
        becomes(address, 200, postgresql="pass")


def test_a_client_whose_module_nothing_imports_is_not_there(project: Project) -> None:
    entry = {"service": "bot", "kind": "redis", "target": "", "required": False, "client": "stores.py:client"}
    project.copy(services=[{"name": "bot", "kind": "worker"}], readiness=[entry])
    project.write("services/bot/stores.py", "import redis\nclient = redis.Redis()\n")
    with worker(project, "json", HEALTH_TOKEN="let-me-in") as address:
        becomes(address, 200, redis="warn")
        assert (
            get(address + "/readiness", Authorization="Bearer let-me-in")[1]["checks"]["redis"]["error"]
            == "NotLoaded"
        )


@contextmanager
def worker(project: Project, imports: str, **environment: str) -> Iterator[str]:
    """The worker's health server in a process of its own, which has imported a module; its address."""
    port = free_port()
    code = f"import health, time, {imports}\nhealth.serve_health('bot')\ntime.sleep(3600)\n"
    environment = {**os.environ, "PORT": str(port), **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=project.folder / "services/bot", env=environment
    )
    try:
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(20)


TOKEN = {"HTTP_AUTHORIZATION": "Bearer let-me-in"}


@pytest.mark.parametrize(
    "how", ["memcached", "confluent-kafka", "kafka-python", "s3", "sqs by address", "sqs by name"]
)
def test_without_a_client_a_check_has_its_own(
    project: Project, memcached: Server, kafka: Server, bucket: Aws, how: str
) -> None:
    queue = bucket.make()
    kind, target, server = {
        "memcached": ("memcached", f"memcached://127.0.0.1:{memcached.port}", memcached),
        "confluent-kafka": ("kafka", f"127.0.0.1:{kafka.port}", kafka),
        "kafka-python": ("kafka", f"127.0.0.1:{kafka.port}", kafka),
        "s3": ("s3", "uploads", bucket.server),
        "sqs by address": ("sqs", queue, bucket.server),
        "sqs by name": ("sqs", "jobs", bucket.server),
    }[how]
    project.copy(
        services=[{"name": "bot", "kind": "worker"}],
        readiness=[{"service": "bot", "kind": kind, "target": "TARGET", "required": True}],
    )
    hide = "import sys\nsys.modules['confluent_kafka.admin'] = None\n" if how == "kafka-python" else ""
    code = (
        f"{hide}import health\nprint(health.Health(None, None,"
        f" 'bot').readiness({TOKEN})['checks'][{kind!r}]['error'])\n"
    )

    def error(target: str) -> str:
        environment = {
            **os.environ,
            **NOBODY,
            "AWS_ENDPOINT_URL": bucket.place,
            "TARGET": target,
            "HEALTH_TOKEN": "let-me-in",
        }
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command,
            cwd=project.folder / "services/bot",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "hunter2" not in done.stdout + done.stderr
        return done.stdout.strip() or done.stderr

    assert error(target) == "None"
    if kind in ("s3", "sqs"):
        assert error(target + "-of-nobody") in ("ClientError", "QueueDoesNotExist")
    server.stop()
    assert error(target) not in ("", "None")
    if server is not kafka:
        server.start()
