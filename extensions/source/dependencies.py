"""The databases, caches, brokers, object stores and HTTP peers that a service runs on, told from its source.

Proposed is what has all three: an import that always happens, a client that is made when the service starts, and an address from the
environment, from settings or from a literal. An import alone says little: an application with many connectors imports libraries for
servers that most of its installations never see. What has one or two of the three is "seen in the source, not checked".
"""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..disk import shown, text_of
from .addresses import Address, Link, Source, Sources, bound, flat, schemes
from .files import aside
from .objects import enough, kept

MOST_EVIDENCE = 5  # lines for each dependency; a large service imports requests in a hundred files


@dataclass(frozen=True)
class Dependency:
    """One server that a service uses.

    kind: postgresql, mysql, sql (a database behind SQLAlchemy or peewee whose product the source doesn't tell), redis, memcached, mongodb,
        elasticsearch, rabbitmq, kafka, sqs, broker (behind Celery or kombu, its product not told), s3 or http.
    target: the environment variable that holds its address, else the app's setting; "" where neither is known. Never the address.
    required: whether the service is of no use without it. Databases and brokers are required. Caches, search, object stores and HTTP
        peers are not: they are shared, so that one that is slow would take every instance out of service at once, and most
        services can answer without. Nor is what is made only if a setting is there.
    proposed: False for "seen in the source, not checked"; then the evidence says what was missing.
    evidence: lines "file:line why".
    client: where the code keeps the client, FILE.py:NAME from the service's folder; "" where a check can't have or use it.
    alone: whether what the target holds is enough for another client.
    """

    kind: str
    target: str
    required: bool
    proposed: bool
    evidence: tuple[str, ...]
    client: str = ""
    alone: bool = True


@dataclass(frozen=True)
class _Client:
    """How a library's client is made. `kind` is "" where the scheme of the address, or the setting, tells it.

    arguments: positions and keywords that hold the address. settings: what it reads from app.config, when it is an extension.
    """

    kind: str
    arguments: tuple[int | str, ...] = ()
    settings: tuple[str, ...] = ()
    broker: bool = False


_SQL = _Client("sql", (0, "url"))
_POSTGRESQL = _Client("postgresql", (0, "dsn", "conninfo", "host"))
_MYSQL = _Client("mysql", (0, "host", "unix_socket"))
_REDIS = _Client("redis", (0, "url", "host", "connection_pool", "startup_nodes", "sentinels"))
_MONGODB = _Client("mongodb", (0, "host", "uri"))
_MEMCACHED = _Client("memcached", (0, "server", "servers"))
_SEARCH = _Client("elasticsearch", (0, "hosts", "cloud_id"))
_RABBITMQ = _Client("rabbitmq", (0, "url", "host", "parameters"), broker=True)
_BROKER = _Client("broker", (0, "hostname"), broker=True)
_KAFKA = _Client("kafka", (0, "bootstrap_servers"))
_HTTP = _Client("http", (0, "base_url", "url"))

# Constructors, by the names that they are imported under. A name that ends in a dot stands for every call below it.
CLIENTS: dict[str, _Client] = {
    "sqlalchemy.create_engine": _SQL,
    "sqlalchemy.engine.create_engine": _SQL,
    "sqlalchemy.ext.asyncio.create_async_engine": _SQL,
    "sqlmodel.create_engine": _SQL,
    "playhouse.db_url.connect": _SQL,
    "flask_sqlalchemy.SQLAlchemy": _Client("sql", settings=("SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_BINDS")),
    "flask_sqlalchemy_lite.SQLAlchemy": _Client("sql", settings=("SQLALCHEMY_ENGINES",)),
    "flask_appbuilder.SQLA": _Client("sql", settings=("SQLALCHEMY_DATABASE_URI",)),
    "psycopg2.connect": _POSTGRESQL,
    "psycopg2.pool.": _Client("postgresql", (2, "dsn", "host")),
    "psycopg.connect": _POSTGRESQL,
    "psycopg.AsyncConnection.connect": _POSTGRESQL,
    "psycopg_pool.": _POSTGRESQL,
    "asyncpg.connect": _POSTGRESQL,
    "asyncpg.create_pool": _POSTGRESQL,
    "peewee.PostgresqlDatabase": _Client("postgresql", ("host", "dsn")),
    "peewee.MySQLDatabase": _Client("mysql", ("host",)),
    "pymysql.connect": _MYSQL,
    "MySQLdb.connect": _MYSQL,
    "mysql.connector.": _MYSQL,
    "flask_mysqldb.MySQL": _Client("mysql", settings=("MYSQL_HOST",)),
    "redis.": _REDIS,
    "flask_redis.FlaskRedis": _Client("redis", settings=("REDIS_URL",)),
    "flask_caching.Cache": _Client("", ("config",), ("CACHE_REDIS_URL", "CACHE_REDIS_HOST", "CACHE_MEMCACHED_SERVERS")),
    "flask_limiter.Limiter": _Client("", ("storage_uri",), ("RATELIMIT_STORAGE_URI", "RATELIMIT_STORAGE_URL")),
    "flask_session.Session": _Client("", settings=("SESSION_REDIS", "SESSION_MEMCACHED", "SESSION_MONGODB")),
    "celery.Celery": _Client("broker", ("broker", "broker_url"), ("CELERY_BROKER_URL", "broker_url", "BROKER_URL"), broker=True),
    "kombu.Connection": _BROKER,
    "kombu.BrokerConnection": _BROKER,
    "flask_socketio.SocketIO": _Client("broker", ("message_queue",), broker=True),
    "pika.BlockingConnection": _RABBITMQ,
    "pika.SelectConnection": _RABBITMQ,
    "pika.adapters.": _RABBITMQ,
    "aio_pika.connect": _RABBITMQ,
    "aio_pika.connect_robust": _RABBITMQ,
    "flask_rq2.RQ": _Client("redis", settings=("RQ_REDIS_URL",), broker=True),
    "dramatiq.brokers.redis.RedisBroker": replace(_REDIS, broker=True),
    "dramatiq.brokers.rabbitmq.RabbitmqBroker": _RABBITMQ,
    "huey.RedisHuey": _Client("redis", ("url", "host"), broker=True),
    "pymongo.MongoClient": _MONGODB,
    "pymongo.AsyncMongoClient": _MONGODB,
    "motor.motor_asyncio.AsyncIOMotorClient": _MONGODB,
    "mongoengine.connect": _Client("mongodb", ("host",)),
    "flask_pymongo.PyMongo": _Client("mongodb", (1, "uri"), ("MONGO_URI",)),
    "flask_mongoengine.MongoEngine": _Client("mongodb", settings=("MONGODB_SETTINGS", "MONGODB_HOST")),
    "pymemcache.": _MEMCACHED,
    "pylibmc.Client": _MEMCACHED,
    "bmemcached.Client": _MEMCACHED,
    "memcache.Client": _MEMCACHED,
    "elasticsearch.Elasticsearch": _SEARCH,
    "elasticsearch.AsyncElasticsearch": _SEARCH,
    "opensearchpy.OpenSearch": _SEARCH,
    "confluent_kafka.": _KAFKA,
    "kafka.KafkaProducer": _Client("kafka", ("bootstrap_servers",)),
    "kafka.KafkaConsumer": _Client("kafka", ("bootstrap_servers",)),
    "aiokafka.": _Client("kafka", ("bootstrap_servers",)),
    "boto3.client": _Client("aws"),
    "boto3.resource": _Client("aws"),
    **{f"requests.{verb}": _HTTP for verb in ("get", "post", "put", "patch", "delete", "head")},
    **{f"httpx.{verb}": _HTTP for verb in ("get", "post", "put", "patch", "delete", "head", "stream")},
    "requests.request": _Client("http", (1, "url")),
    "httpx.Client": _Client("http", ("base_url",)),
    "httpx.AsyncClient": _Client("http", ("base_url",)),
    "aiohttp.ClientSession": _Client("http", (0, "base_url")),
}
# Libraries by the name that is imported, and the kind of server that each speaks to.
ROOTS = {name.split(".")[0]: client.kind for name, client in CLIENTS.items() if client.kind not in ("", "aws")}
_CLASSES = re.compile(
    r"(Redis|StrictRedis|RedisCluster|Sentinel|from_url|ConnectionPool|BlockingConnectionPool|\w*Client|\w*Pool"
    r"|Producer|Consumer|SerializingProducer|DeserializingConsumer|AIOKafka\w+|connect|MySQLConnectionPool"
    r"|BlockingConnection|SelectConnection|AsyncioConnection)"
)
_SCHEMES = {
    **dict.fromkeys(("postgresql", "postgres", "postgis"), "postgresql"),
    **dict.fromkeys(("mysql", "mariadb"), "mysql"),
    **dict.fromkeys(("oracle", "mssql", "cockroachdb"), "sql"),
    **dict.fromkeys(("redis", "rediss", "sentinel"), "redis"),
    **dict.fromkeys(("amqp", "amqps", "pyamqp", "librabbitmq"), "rabbitmq"),
    "mongodb": "mongodb",
    "memcached": "memcached",
    "sqs": "sqs",
}
_FILES = {"sqlite", "memory", "cache", "filesystem", "file", "db", "sqla"}  # schemes of what is no server
_DRIVERS = {
    "postgresql": ("psycopg2", "psycopg2-binary", "psycopg2cffi", "psycopg", "psycopg-binary", "asyncpg", "pg8000"),
    "mysql": ("pymysql", "mysqlclient", "mysql-connector-python", "aiomysql", "asyncmy", "mysqldb", "mysql"),
    "redis": ("redis",),
}
_BY_SETTING = (("REDIS", "redis"), ("MEMCACHED", "memcached"), ("MONGODB", "mongodb"))
_SQLS = ("sql", "postgresql", "mysql")
_REQUIRED = {*_SQLS, "mongodb", "rabbitmq", "kafka", "sqs", "broker"}
_START = re.compile(r"_?(create|make|build|get)_(app|application|celery|celery_app|flask_app)|main|init_app|lifespan|on_startup")
_APP = {"app", "application", "flask_app"}
_CACHED = {"cache", "lru_cache", "cached_property"}
_AWS_NAMES = {"s3": ("Bucket", "bucket", "bucket_name"), "sqs": ("QueueUrl", "queue_url", "QueueName")}
_VERBS = ("get", "post", "put", "patch", "delete", "head", "request", "stream")
_SETTINGS = {name.encode() for client in CLIENTS.values() for name in client.settings} | {b"from_object"}


def _words() -> dict[bytes, tuple[bytes, ...]]:
    """For each library, what a file that makes a client of it must contain besides its name."""
    words: dict[bytes, set[bytes]] = {}
    for name, client in CLIENTS.items():
        root, _, last = name.rpartition(".")
        top = name.split(".")[0].encode()
        if client.kind == "http":
            more = {last.encode()} if last[0].isupper() else {f"{root}.{verb}(".encode() for verb in _VERBS} | {b"from " + top + b" import"}
        else:
            more = (
                {last.encode()}
                if last
                else {b"Redis", b"from_url", b"Pool", b"connect", b"Client", b"Producer", b"Consumer", b"Sentinel", b"Connection"}
            )
        words.setdefault(top, set()).update(more)
    return {top: tuple(more) for top, more in words.items()}


_WORDS = _words()
_IMPORTS = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+(" + b"|".join(re.escape(name.encode()) for name in ROOTS) + rb")\b[^\n]*", re.MULTILINE
)


def find(root: str | Path, service: Mapping[str, str]) -> list[Dependency]:
    """What the service at `service["path"]` of the repository `root` runs on; what is only seen comes last. Never raises for what it reads.

    Nothing is imported or run. Every file of the service is read once, those that name a client library, a setting of one or a module
    beside the service are parsed once, and settings modules that those lead to, wherever they stand in the repository.
    """
    return _Finder(root, service.get("path") or ".").find()


@dataclass
class _Scope:
    """A function, with the class around it and whether its body runs when the service starts."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: str
    starts: bool = False


@dataclass(frozen=True)
class _Call:
    node: ast.Call
    scope: _Scope | None
    condition: str  # the setting that an `if` around it asks for


class _Finder:
    def __init__(self, root: str | Path, path: str) -> None:
        self.root = root
        self.sources = Sources(root, path)
        self.found: list[tuple[Dependency, bool]] = []  # and whether it is a broker's client
        self.declared = _declared(root, self.sources.path)
        self.examples = _examples(root, self.sources.path)
        self.imported: set[str] = set()
        self.parsed: set[str] = set()
        self.dialects: set[str] = set()  # of SQLAlchemy: models that use types of PostgreSQL run on nothing else

    def find(self) -> list[Dependency]:
        sources = list(self._relevant())
        self.parsed = {source.file for source in sources}
        for source in sources:
            self.imported |= {link.dotted.split(".")[0] for link in source.links.values() if link.folder is None}
        for source in sources:
            self._source(source)
        return _merged(self.found)

    def _relevant(self) -> Iterator[Source]:
        """The files that name a client library, and those beside the service that such files, or its others, import."""
        path = self.sources.path
        beside = {file.split("/")[0].removesuffix(".py") for file in self.sources.all} - {path.split("/")[0], "tests", "test", "setup"}
        imports = re.compile(
            rb"^[ \t]*(?:from|import)[ \t]+(?:" + b"|".join(re.escape(os.fsencode(n)) for n in sorted(beside)) + rb")\b", re.M
        )
        queue, seen = list(self.sources.files), set(self.sources.files)
        for file in queue:
            text = self.sources.text(file)
            tops = [top for top in _WORDS if top in text]
            if b"sqlalchemy" in text:
                self.dialects |= {kind for kind in _DRIVERS if f"from sqlalchemy.dialects.{kind}".encode() in text}
            makes = any(word in text for top in tops for word in _WORDS[top])
            names = makes or any(word in text for word in _SETTINGS)
            if tops and not makes:
                self._only_imports(file, text)
            outside = bool(path and beside) and imports.search(text)
            if not names and not outside:
                continue
            source = self.sources.source(file, text)
            if source is None:
                continue
            for link in [*source.links.values(), *_objects(source)]:
                place = self.sources.locate(link)
                if place and place[0] not in seen and not aside(place[0]):
                    seen.add(place[0])
                    queue.append(place[0])
            for link in _objects(source):
                place = self.sources.locate(link)
                if place:
                    self.sources.source(place[0])
            if names:
                yield source

    # One file

    def _only_imports(self, file: str, text: bytes) -> None:
        """A file that imports a library and calls nothing that makes a client is not parsed: its lines are enough."""
        for match in _IMPORTS.finditer(text):
            name = match[1].decode()
            if not self.sources.shadowed(name):
                line = text.count(b"\n", 0, match.start()) + 1
                self._seen(ROOTS[name], f"{file}:{line} imports {name}, makes no client")
                self.imported.add(name)

    def _source(self, source: Source) -> None:
        guards = _guards(source)
        calls, scopes = _calls(source)
        _mark_starts(source, calls, scopes)
        used: set[str] = set()
        for call in calls:
            origin = self._origin(source, call.node.func)
            client = _client(origin)
            top = origin.split(".")[0]
            if client is None or self.sources.shadowed(top):
                continue
            used.add(top)
            self._client(source, call, origin, client, guards)
        for name, link in source.links.items():
            top = link.dotted.split(".")[0]
            if link.folder is None and top in ROOTS and top not in used and not self.sources.shadowed(top):
                used.add(top)
                line = _line_of(source, name)
                self._seen(ROOTS[top], f"{source.file}:{line} imports {link.dotted}" + guards.get(name, ", makes no client"))

    def _origin(self, source: Source, function: ast.expr) -> str:
        """The dotted name of what is called; that of its base, for a class of the repository that extends a client."""
        origin = source.origin(function)
        if not isinstance(function, ast.Name) or _client(origin):
            return origin
        place: Source | None = source
        name = function.id
        if name in source.links:
            located = self.sources.locate(source.links[name])
            place = self.sources.source(located[0]) if located and located[1] and located[0] in self.parsed else None
            name = located[1][-1] if located and located[1] else name
        cls = place.classes.get(name) if place else None
        bases = [place.origin(base) for base in cls.bases] if place and cls else []
        return next((base for base in bases if _client(base)), origin)

    def _seen(self, kind: str, why: str) -> None:
        self.found.append((Dependency(kind, "", False, False, (shown(why),)), False))

    def _client(self, source: Source, call: _Call, origin: str, client: _Client, guards: Mapping[str, str]) -> None:
        node = call.node
        here = f"{source.file}:{node.lineno} {origin}()"
        kind = client.kind
        if kind == "aws":
            kind = next((one.value for one in node.args[:1] if isinstance(one, ast.Constant) and isinstance(one.value, str)), "")
            if kind not in _AWS_NAMES:
                return
        address = self._address(source, call, client, kind)
        kind = self._kind(kind, client, address)
        if not kind:
            return
        first = node.func
        while isinstance(first, ast.Attribute):
            first = first.value
        guard = guards.get(first.id, "") if isinstance(first, ast.Name) else ""
        lazy = call.scope is not None and not call.scope.starts
        if kind == "http" and address.variables:
            lazy = False  # a peer is called when it is needed; its address is read at the start
        called = "name" if kind in _AWS_NAMES else "address"
        file_only = kind in ("sql", "broker") and bool(address.schemes) and address.schemes <= _FILES
        missing = (
            guard
            or (f", in {call.scope.node.name}(), which doesn't run at the start" if lazy and call.scope else "")
            or (", a file and no server" if file_only else "")
            or (f", its {called} is not told" if not address else "")
            or (", an address that no variable sets" if kind == "http" and not address.variables else "")
        )
        if missing:
            self._seen(kind, here + missing)
            return
        target = address.target
        why = [f"{here} is made at the start" if kind != "http" else f"{here} is called"]
        named = target or "its address"
        why.append(f"{address.where} {named} holds its {called}")
        if call.condition:
            why.append(f"{source.file}:{node.lineno} only if {call.condition}: optional")
        required = (kind in _REQUIRED or client.broker) and not call.condition
        where, alone = kept(source, node, origin, kind, self.sources.path), enough(source, node, kind, address)
        self.found.append((Dependency(kind, target, required, True, tuple(map(shown, why)), where, alone), client.broker))

    def _address(self, source: Source, call: _Call, client: _Client, kind: str) -> Address:
        node = call.node
        local = dict(bound(call.scope.node.body)) if call.scope else {}
        given: list[ast.expr] = []
        if kind in _AWS_NAMES:
            return self._aws(source, kind)
        for place in client.arguments:
            if isinstance(place, int):
                given += node.args[place : place + 1]
            else:
                given += [word.value for word in node.keywords if word.arg == place]
        given += [word.value for word in node.keywords if word.arg is None]  # **options
        address = Address()
        if not (client.settings and client.kind == ""):
            for one in given:
                address.add(self.sources.address(one, source, local))
        if not address:
            address = self._from_settings(client, given, source)
        for name in address.variables:
            address.schemes |= self.examples.get(name, set())
        return address

    def _from_settings(self, client: _Client, given: list[ast.expr], source: Source) -> Address:
        """The address of an extension: in the settings that it reads, or in the mapping that it is given as `config`."""
        keys: dict[str, ast.expr] = {}
        for one in given:
            if isinstance(one, ast.Dict):
                keys |= {
                    k.value: v
                    for k, v in zip(one.keys, one.values, strict=True)
                    if isinstance(k, ast.Constant) and isinstance(k.value, str)
                }
            elif client.kind == "":
                address = self.sources.address(one, source)
                if address:
                    return address
        for name in client.settings:
            values = [(source, keys[name])] if name in keys else self.sources.setting(name)
            address = Address()
            for place, value in values:
                address.add(self.sources.address(value, place))
            if address:
                address.settings.insert(0 if name.isupper() else len(address.settings), name)  # Celery's own are no keys of the app
                return address
        return Address()

    def _aws(self, source: Source, kind: str) -> Address:
        """A bucket or a queue, by the name that the file's calls give."""
        address = Address()
        for one in source.nodes:
            if isinstance(one, ast.Call):
                named = [word.value for word in one.keywords if word.arg in _AWS_NAMES[kind]]
                if isinstance(one.func, ast.Attribute) and one.func.attr in ("Bucket", "Queue"):
                    named += one.args[:1]
                for value in named:
                    found = self.sources.address(value, source)
                    if found.variables and not found.piece:  # a literal, or what is put together, is in no setting
                        address.add(found)
        return address

    def _kind(self, kind: str, client: _Client, address: Address) -> str:
        """The server's kind: by the scheme of a literal or a default, by the setting, by declared or imported drivers. "" for none."""
        told = sorted({_SCHEMES[one] for one in address.schemes if one in _SCHEMES})
        if kind in ("", "sql", "broker") or (kind == "redis" and told == ["redis"]):
            if len(told) == 1:
                return told[0]
            if told:
                return kind
        if kind == "":
            if address.schemes and address.schemes <= _FILES:
                return ""
            return next((one for word, one in _BY_SETTING if any(word in name for name in address.settings)), "")
        if kind in ("sql", "broker"):
            drivers = [one for one in (("postgresql", "mysql") if kind == "sql" else ("redis",)) if self._driver(one)]
            # A file by default is a server elsewhere, where a variable takes the whole address and the driver is there.
            if len(drivers) == 1 and (not address.schemes or address.whole):
                return drivers[0]
        return kind

    def _driver(self, kind: str) -> bool:
        names = _DRIVERS[kind]
        return (
            kind in self.dialects
            or any(name in self.declared for name in names)
            or any(name in {one.lower() for one in self.imported} for name in names)
        )


def _client(origin: str) -> _Client | None:
    """The client that a call of this dotted name makes."""
    if origin in CLIENTS:
        return CLIENTS[origin]
    parts = origin.split(".")
    if len(parts) < 2 or not _CLASSES.fullmatch(parts[-1]):
        return None
    return next((CLIENTS[name] for n in range(len(parts) - 1, 0, -1) if (name := ".".join(parts[:n]) + ".") in CLIENTS), None)


def _objects(source: Source) -> Iterator[Link]:
    """What from_object() and config_from_object() are given: settings modules and classes, by their dotted names."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("from_object", "config_from_object"):
            for one in node.args[:1]:
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield Link(None, one.value.replace(":", "."))
                elif isinstance(one, ast.Name) and one.id in source.links:
                    yield source.links[one.id]
                elif isinstance(one, ast.Subscript) and isinstance(one.value, ast.Name) and one.value.id in source.links:
                    yield source.links[one.value.id]


def _guards(source: Source) -> dict[str, str]:
    """Imported names whose import may not happen, with why."""
    guards: dict[str, str] = {}
    free: set[str] = set()

    def visit(body: list[ast.stmt], why: str) -> None:
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    name = alias.asname or alias.name.split(".")[0]
                    if why:
                        guards.setdefault(name, why)
                    else:
                        free.add(name)
            elif isinstance(node, ast.Try):
                optional = any(_catches_import(handler) for handler in node.handlers)
                inner = ", imported only if it is installed" if optional else why
                visit(node.body, why or inner)
                for handler in node.handlers:
                    visit(handler.body, why or inner)
                visit(node.orelse, why or inner)
                visit(node.finalbody, why)
            elif isinstance(node, ast.If):
                typing = "TYPE_CHECKING" in ast.dump(node.test)
                visit(node.body, why or (", imported for types only" if typing else ""))
                visit(node.orelse, why)
            elif isinstance(node, ast.With):
                optional = "suppress" in ast.dump(node.items[0].context_expr) and "ImportError" in ast.dump(node.items[0].context_expr)
                visit(node.body, why or (", imported only if it is installed" if optional else ""))

    visit(source.tree.body, "")
    for node in source.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            visit(node.body, "")  # whether the function runs at the start is asked of the call
    return {name: why for name, why in guards.items() if name not in free}


def _catches_import(handler: ast.ExceptHandler) -> bool:
    names = ast.dump(handler.type) if handler.type else "'Exception'"
    return any(f"'{name}'" in names for name in ("ImportError", "ModuleNotFoundError", "Exception"))


def _calls(source: Source) -> tuple[list[_Call], list[_Scope]]:
    """Every call of a file with the function around it and the condition on a setting, and every function."""
    calls: list[_Call] = []
    scopes: list[_Scope] = []
    todo: list[tuple[ast.AST, _Scope | None, str, str]] = [(source.tree, None, "", "")]
    while todo:
        node, scope, owner, condition = todo.pop()
        if isinstance(node, ast.Call):
            calls.append(_Call(node, scope, condition))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            outer = scope
            scope = _Scope(node, owner)
            scopes.append(scope)
            todo += [(one, outer, owner, condition) for one in node.decorator_list]
            todo += [(one, scope, owner, "") for one in node.body]
        elif isinstance(node, ast.ClassDef):
            todo += [(one, scope, node.name, condition) for one in ast.iter_child_nodes(node)]
        elif isinstance(node, (ast.If, ast.IfExp)):
            body = node.body if isinstance(node.body, list) else [node.body]
            orelse = node.orelse if isinstance(node.orelse, list) else [node.orelse]
            asks = condition or _asks(node.test)
            todo.append((node.test, scope, owner, condition))
            todo += [(one, scope, owner, asks) for one in [*body, *orelse]]
        else:
            todo += [(one, scope, owner, condition) for one in ast.iter_child_nodes(node)]
    calls.sort(key=lambda call: (call.node.lineno, call.node.col_offset))
    return calls, scopes


def _asks(test: ast.expr) -> str:
    """The test, where it asks for a setting: what stands under it is not always there."""
    text = ast.unparse(test)
    return text[:60] if re.search(r"environ|getenv|config|settings|\b[A-Z][A-Z0-9_]{3,}\b", text) and "__name__" not in text else ""


def _mark_starts(source: Source, calls: list[_Call], scopes: list[_Scope]) -> None:
    """Mark the functions that run when the service starts: factories, what gets the app, cached getters, and what those call."""
    by_name: dict[str, list[_Scope]] = {}
    for scope in scopes:
        by_name.setdefault(scope.node.name, []).append(scope)
        scope.starts = _is_start(scope.node)
    inside: dict[int, list[ast.Call]] = {}
    for call in calls:
        inside.setdefault(id(call.scope), []).append(call.node)
        if call.scope and source.origin(call.node.func) in ("flask.Flask", "quart.Quart"):
            call.scope.starts = True
    todo = [call.node for call in calls if call.scope is None or call.scope.starts]
    while todo:
        function = todo.pop().func
        name = function.id if isinstance(function, ast.Name) else ""
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in ("self", "cls"):
            name = function.attr
        reached = by_name.get(name, []) if name not in source.classes else []
        reached = reached + [one for one in by_name.get("__init__", []) if one.owner == name]
        for scope in reached:
            if not scope.starts:
                scope.starts = True
                todo += inside.get(id(scope), [])


def _is_start(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = {one.arg for one in [*node.args.posonlyargs, *node.args.args]}
    decorators = {ast.unparse(one.func if isinstance(one, ast.Call) else one).split(".")[-1] for one in node.decorator_list}
    if _START.fullmatch(node.name) or not _APP.isdisjoint(arguments) or not _CACHED.isdisjoint(decorators):
        return True
    names = {name for one in flat(node.body) if isinstance(one, ast.Global) for name in one.names}
    for one in flat(node.body):
        for target in one.targets if isinstance(one, ast.Assign) else []:
            kept = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "g"
            if kept or (isinstance(target, ast.Name) and target.id in names):  # Flask's way, and the other one
                return True
    return False


def _line_of(source: Source, name: str) -> int:
    for node in source.nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and any(name == (a.asname or a.name.split(".")[0]) for a in node.names):
            return node.lineno
    return 1


# What stands beside the source


def _folders(root: str | Path, path: str) -> list[str]:
    return list(dict.fromkeys([os.path.join(root, path), os.fspath(root)]))


def _declared(root: str | Path, path: str) -> set[str]:
    """The names of the packages that the service or the repository always installs; extras are left out."""
    lines: list[str] = []
    for folder in _folders(root, path):
        try:
            names = sorted(os.listdir(folder)) + [
                f"requirements/{name}" for name in sorted(os.listdir(os.path.join(folder, "requirements")))
            ]
        except OSError:
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in names:
            if re.fullmatch(r"requirements([-_.]\w+)*\.(txt|in)|requirements/[\w.-]+\.(txt|in)", name) and not re.search(
                r"dev|test|doc|lint", name
            ):
                lines += text_of(os.path.join(folder, name)).splitlines()
        try:
            toml = tomllib.loads(text_of(os.path.join(folder, "pyproject.toml")))
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        project, tool = toml.get("project"), toml.get("tool")
        if isinstance(project, dict) and isinstance(project.get("dependencies"), list):
            lines += [one for one in project["dependencies"] if isinstance(one, str)]
        poetry = tool.get("poetry") if isinstance(tool, dict) else None
        if isinstance(poetry, dict) and isinstance(poetry.get("dependencies"), dict):
            lines += [name for name, what in poetry["dependencies"].items() if not (isinstance(what, dict) and what.get("optional"))]
    declared: set[str] = set()
    for line in lines:
        match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?", line)
        if match:
            declared.add(re.sub(r"[-_.]+", "-", match[1]).lower())
            declared |= {extra.strip().lower() for extra in (match[2] or "").split(",") if extra.strip()}  # celery[redis]
    return declared


def _examples(root: str | Path, path: str) -> dict[str, set[str]]:
    """The schemes of the variables that a dotenv file gives; nothing else of their values is kept."""
    found: dict[str, set[str]] = {}
    for folder in _folders(root, path):
        for name in (".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", ".flaskenv", ".env"):
            for line in text_of(os.path.join(folder, name)).splitlines():
                match = re.match(r"\s*(?:export\s+)?(\w+)\s*=\s*[\"']?(.{0,60})", line)
                if match:
                    found.setdefault(match[1], set()).update(schemes(match[2]))
    return found


def _merged(found: list[tuple[Dependency, bool]]) -> list[Dependency]:
    """One entry for each server, and one for each kind that was only seen and is not proposed."""
    whole: dict[tuple[str, str, bool], Dependency] = {}
    kinds = {one.kind for one, _ in found if one.proposed}
    kinds |= {"sql"} if not kinds.isdisjoint(_SQLS) else set()
    kinds |= {"broker"} if any(broker and one.proposed for one, broker in found) else set()
    for one, _ in found:
        if not one.proposed and one.kind in kinds:
            continue
        key = (one.kind, one.target or one.client, one.proposed)
        before = whole.get(key, one)
        whole[key] = replace(
            before,
            required=before.required or one.required,
            evidence=tuple(dict.fromkeys([*before.evidence, *one.evidence])),
            client=before.client or one.client,
            alone=before.alone and one.alone,
        )
    order = sorted(whole.values(), key=lambda one: (not one.proposed, not one.required, one.kind, one.target))
    return [_shortened(one) for one in order]


def _shortened(one: Dependency) -> Dependency:
    more = len(one.evidence) - MOST_EVIDENCE
    return replace(one, evidence=(*one.evidence[:MOST_EVIDENCE], f"and {more} more places")) if more > 0 else one
