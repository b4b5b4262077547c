"""Clients that a module keeps under a name, which a readiness check may ask by, and what a connection of the
check's own would lack.
"""

from __future__ import annotations

import ast
import posixpath
import re

from .addresses import Address, Source, flat

# What makes a client that its library lets other threads use, by the kind of server. Left out are single
# connections (psycopg's, pika's, pymemcache's) and clients of an event loop. Celery's app opens a connection
# with its own settings.
_ENGINE = r"sqlalchemy(\.engine)?\.create_engine|sqlmodel\.create_engine"
_POSTGRESQL = r"psycopg_pool\.(Null)?ConnectionPool|psycopg2\.pool\.ThreadedConnectionPool"
_AWS = r"boto3\.(client|resource)"
_SHARED = {
    "sql": _ENGINE,
    "mysql": _ENGINE,
    "postgresql": f"{_ENGINE}|{_POSTGRESQL}",
    "redis": r"redis\.(client\.)?(Strict)?Redis(\.from_url)?|redis\.from_url|flask_redis\.FlaskRedis",
    "mongodb": r"pymongo\.MongoClient|flask_pymongo\.PyMongo",
    "rabbitmq": r"celery\.Celery",
    "broker": r"celery\.Celery",
    "kafka": (
        r"confluent_kafka\.(\w+\.)?(Serializing)?Producer|confluent_kafka\.(\w+\.)?(Deserializing)?Consumer"
        r"|confluent_kafka\.admin\.AdminClient"
    ),
    "s3": _AWS,
    "sqs": _AWS,
}
_LOGIN = re.compile(r"user(name)?|password|tls_\w+|(sasl|ssl|security)_\w+")  # keywords
_KAFKAS = re.compile(r"(sasl|ssl|security)[._]\w[\w.]*")  # keys of its settings


def kept(source: Source, call: ast.Call, origin: str, kind: str, folder: str) -> str:
    """Where the client is that `call` makes: FILE.py:NAME, from the service's folder. "" where no check can
    have or use it.

    The call must be the whole value of a name of the module that is bound once, in a file of the folder.
    """
    if not re.fullmatch(_SHARED.get(kind, "(?!)"), origin) or (
        folder and not source.file.startswith(folder + "/")
    ):
        return ""
    for statement in flat(source.tree.body):
        targets = (
            statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        )
        if (
            getattr(statement, "value", None) is call
            and len(targets) == 1
            and isinstance(targets[0], ast.Name)
        ):
            name = targets[0].id
            return (
                f"{posixpath.relpath(source.file, folder or '.')}:{name}"
                if len(source.values.get(name, ())) == 1
                else ""
            )
    return ""


def enough(source: Source, call: ast.Call, kind: str, address: Address) -> bool:
    """Whether another client could be made from the one variable of the address: no region, login or port is
    said beside it.
    """
    if kind not in ("kafka", "memcached", "s3", "sqs"):
        return True
    named = {word.arg or "" for word in call.keywords}
    if kind in ("s3", "sqs"):
        beside = len(call.args) > 1 or not named <= {"service_name", "config"}
    else:
        beside = address.piece or len(address.variables) > 1 or any(map(_LOGIN.fullmatch, named))
    if kind == "kafka":  # its settings are a mapping, which may stand anywhere in the file
        texts = (
            node.value
            for node in source.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        beside = beside or any(map(_KAFKAS.fullmatch, texts))
    return bool(address.variables) and not beside
