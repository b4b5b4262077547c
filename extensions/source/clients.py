"""The client libraries that are known: how a client of each is made, where its address stands, and what kind
of server it speaks to.

To know one more library, add a line to CLIENTS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Client:
    """How a library's client is made. `kind` is "" where the scheme of the address, or the setting, tells it.

    arguments: positions and keywords that hold the address. settings: what it reads from app.config, when it
    is an extension. broker: it carries work from one process to another.
    """

    kind: str
    arguments: tuple[int | str, ...] = ()
    settings: tuple[str, ...] = ()
    broker: bool = False


_SQL = Client("sql", (0, "url"))
_POSTGRESQL = Client("postgresql", (0, "dsn", "conninfo", "host"))
_MYSQL = Client("mysql", (0, "host", "unix_socket"))
_REDIS = Client("redis", (0, "url", "host", "connection_pool", "startup_nodes", "sentinels"))
_MONGODB = Client("mongodb", (0, "host", "uri"))
_MEMCACHED = Client("memcached", (0, "server", "servers"))
_SEARCH = Client("elasticsearch", (0, "hosts", "cloud_id"))
_RABBITMQ = Client("rabbitmq", (0, "url", "host", "parameters"), broker=True)
_BROKER = Client("broker", (0, "hostname"), broker=True)
_KAFKA = Client("kafka", (0, "bootstrap_servers"))
_HTTP = Client("http", (0, "base_url", "url"))

# Constructors, by the names that they are imported under. A name that ends in a dot stands for every call
# below it.
CLIENTS: dict[str, Client] = {
    "sqlalchemy.create_engine": _SQL,
    "sqlalchemy.engine.create_engine": _SQL,
    "sqlalchemy.ext.asyncio.create_async_engine": _SQL,
    "sqlmodel.create_engine": _SQL,
    "playhouse.db_url.connect": _SQL,
    "flask_sqlalchemy.SQLAlchemy": Client("sql", settings=("SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_BINDS")),
    "flask_sqlalchemy_lite.SQLAlchemy": Client("sql", settings=("SQLALCHEMY_ENGINES",)),
    "flask_appbuilder.SQLA": Client("sql", settings=("SQLALCHEMY_DATABASE_URI",)),
    "psycopg2.connect": _POSTGRESQL,
    "psycopg2.pool.": Client("postgresql", (2, "dsn", "host")),
    "psycopg.connect": _POSTGRESQL,
    "psycopg.AsyncConnection.connect": _POSTGRESQL,
    "psycopg_pool.": _POSTGRESQL,
    "asyncpg.connect": _POSTGRESQL,
    "asyncpg.create_pool": _POSTGRESQL,
    "peewee.PostgresqlDatabase": Client("postgresql", ("host", "dsn")),
    "peewee.MySQLDatabase": Client("mysql", ("host",)),
    "pymysql.connect": _MYSQL,
    "MySQLdb.connect": _MYSQL,
    "mysql.connector.": _MYSQL,
    "flask_mysqldb.MySQL": Client("mysql", settings=("MYSQL_HOST",)),
    "redis.": _REDIS,
    "redis_sentinel_url.connect": _REDIS,
    "flask_redis.FlaskRedis": Client("redis", settings=("REDIS_URL",)),
    "flask_caching.Cache": Client(
        "", ("config",), ("CACHE_REDIS_URL", "CACHE_REDIS_HOST", "CACHE_MEMCACHED_SERVERS")
    ),
    "flask_limiter.Limiter": Client("", ("storage_uri",), ("RATELIMIT_STORAGE_URI", "RATELIMIT_STORAGE_URL")),
    "flask_session.Session": Client("", settings=("SESSION_REDIS", "SESSION_MEMCACHED", "SESSION_MONGODB")),
    "celery.Celery": Client(
        "broker", ("broker", "broker_url"), ("CELERY_BROKER_URL", "broker_url", "BROKER_URL"), broker=True
    ),
    "kombu.Connection": _BROKER,
    "kombu.BrokerConnection": _BROKER,
    "flask_socketio.SocketIO": Client("broker", ("message_queue",), broker=True),
    "pika.BlockingConnection": _RABBITMQ,
    "pika.SelectConnection": _RABBITMQ,
    "pika.adapters.": _RABBITMQ,
    "aio_pika.connect": _RABBITMQ,
    "aio_pika.connect_robust": _RABBITMQ,
    "flask_rq2.RQ": Client("redis", settings=("RQ_REDIS_URL",), broker=True),
    "dramatiq.brokers.redis.RedisBroker": replace(_REDIS, broker=True),
    "dramatiq.brokers.rabbitmq.RabbitmqBroker": _RABBITMQ,
    "huey.RedisHuey": Client("redis", ("url", "host"), broker=True),
    "pymongo.MongoClient": _MONGODB,
    "pymongo.AsyncMongoClient": _MONGODB,
    "motor.motor_asyncio.AsyncIOMotorClient": _MONGODB,
    "mongoengine.connect": Client("mongodb", ("host",)),
    "flask_pymongo.PyMongo": Client("mongodb", (1, "uri"), ("MONGO_URI",)),
    "eve.Eve": Client("mongodb", settings=("MONGO_URI", "MONGO_HOST")),
    "flask_mongoengine.MongoEngine": Client("mongodb", settings=("MONGODB_SETTINGS", "MONGODB_HOST")),
    "pymemcache.": _MEMCACHED,
    "pylibmc.Client": _MEMCACHED,
    "bmemcached.Client": _MEMCACHED,
    "memcache.Client": _MEMCACHED,
    "elasticsearch.Elasticsearch": _SEARCH,
    "elasticsearch.AsyncElasticsearch": _SEARCH,
    "opensearchpy.OpenSearch": _SEARCH,
    "opensearchpy.AsyncOpenSearch": _SEARCH,
    "eve_elastic.Elastic": Client("elasticsearch", settings=("ELASTICSEARCH_URL",)),
    "confluent_kafka.": _KAFKA,
    "kafka.KafkaProducer": Client("kafka", ("bootstrap_servers",)),
    "kafka.KafkaConsumer": Client("kafka", ("bootstrap_servers",)),
    "aiokafka.": Client("kafka", ("bootstrap_servers",)),
    "boto3.client": Client("aws"),
    "boto3.resource": Client("aws"),
    **{f"requests.{verb}": _HTTP for verb in ("get", "post", "put", "patch", "delete", "head")},
    **{f"httpx.{verb}": _HTTP for verb in ("get", "post", "put", "patch", "delete", "head", "stream")},
    "requests.request": Client("http", (1, "url")),
    "httpx.Client": Client("http", ("base_url",)),
    "httpx.AsyncClient": Client("http", ("base_url",)),
    "aiohttp.ClientSession": Client("http", (0, "base_url")),
}
# Libraries by the name that is imported, and the kind of server that each speaks to.
ROOTS = {
    name.split(".")[0]: client.kind for name, client in CLIENTS.items() if client.kind not in ("", "aws")
}
# What is called below a name that ends in a dot, and makes a client.
_CLASSES = re.compile(
    r"(Redis|StrictRedis|RedisCluster|Sentinel|from_url|ConnectionPool|BlockingConnectionPool|\w*Client|\w*Pool"
    r"|Producer|Consumer|SerializingProducer|DeserializingConsumer|AIOKafka\w+|connect|MySQLConnectionPool"
    r"|BlockingConnection|SelectConnection|AsyncioConnection)"
)
_SCHEME = re.compile(r"([a-z][a-z0-9]*)(?:\+[a-z0-9_]+)?:/{2}", re.IGNORECASE)
# The kind of server, by the scheme of its address.
SCHEMES = {
    **dict.fromkeys(("postgresql", "postgres", "postgis"), "postgresql"),
    **dict.fromkeys(("mysql", "mariadb"), "mysql"),
    **dict.fromkeys(("oracle", "mssql", "cockroachdb"), "sql"),
    **dict.fromkeys(("redis", "rediss", "sentinel"), "redis"),
    **dict.fromkeys(("amqp", "amqps", "pyamqp", "librabbitmq"), "rabbitmq"),
    "mongodb": "mongodb",
    "memcached": "memcached",
    "sqs": "sqs",
}
FILES = {"sqlite", "memory", "cache", "filesystem", "file", "db", "sqla"}  # schemes of what is no server
# The kind of server, by the packages that speak to it.
DRIVERS = {
    "postgresql": (
        "psycopg2",
        "psycopg2-binary",
        "psycopg2cffi",
        "psycopg",
        "psycopg-binary",
        "asyncpg",
        "pg8000",
    ),
    "mysql": ("pymysql", "mysqlclient", "mysql-connector-python", "aiomysql", "asyncmy", "mysqldb", "mysql"),
    "redis": ("redis",),
}
# The kind of server, by a word in the setting that holds its address.
BY_SETTING = (("REDIS", "redis"), ("MEMCACHED", "memcached"), ("MONGODB", "mongodb"))
SQLS = ("sql", "postgresql", "mysql")
REQUIRED = {*SQLS, "mongodb", "rabbitmq", "kafka", "sqs", "broker"}
# Arguments that name a bucket or a queue.
AWS_NAMES = {"s3": ("Bucket", "bucket", "bucket_name"), "sqs": ("QueueUrl", "queue_url", "QueueName")}
_VERBS = ("get", "post", "put", "patch", "delete", "head", "request", "stream")
# What a file contains that sets an extension's address.
SETTINGS = {name.encode() for client in CLIENTS.values() for name in client.settings} | {b"from_object"}


def _words() -> dict[bytes, tuple[bytes, ...]]:
    """For each library, what a file that makes a client of it must contain besides its name."""
    words: dict[bytes, set[bytes]] = {}
    for name, client in CLIENTS.items():
        root, _, last = name.rpartition(".")
        top = name.split(".")[0].encode()
        if client.kind == "http":
            more = (
                {last.encode()}
                if last[0].isupper()
                else {f"{root}.{verb}(".encode() for verb in _VERBS} | {b"from " + top + b" import"}
            )
        elif len(top) < 4:  # "eve" stands in many a word
            more = {name.encode(), b"from " + top + b" import"}
        else:
            more = (
                {last.encode()}
                if last
                else {
                    b"Redis",
                    b"from_url",
                    b"Pool",
                    b"connect",
                    b"Client",
                    b"Producer",
                    b"Consumer",
                    b"Sentinel",
                    b"Connection",
                }
            )
        words.setdefault(top, set()).update(more)
    return {top: tuple(more) for top, more in words.items()}


WORDS = _words()
# A line that imports a client library.
IMPORTS = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+(" + b"|".join(re.escape(name.encode()) for name in ROOTS) + rb")\b[^\n]*",
    re.MULTILINE,
)


def schemes(text: str) -> set[str]:
    """The scheme of an address, in small letters and without its driver: `postgresql` of
    `postgresql+psycopg://…`.
    """
    return {match[1].lower() for match in [_SCHEME.match(text.strip())] if match}


def client_of(origin: str) -> Client | None:
    """The client that a call of this dotted name makes."""
    if origin in CLIENTS:
        return CLIENTS[origin]
    parts = origin.split(".")
    if len(parts) < 2 or not _CLASSES.fullmatch(parts[-1]):
        return None
    return next(
        (
            CLIENTS[name]
            for n in range(len(parts) - 1, 0, -1)
            if (name := ".".join(parts[:n]) + ".") in CLIENTS
        ),
        None,
    )
