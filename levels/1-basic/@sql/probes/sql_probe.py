"""Whether a database answers: by the engine or pool that the code has, else by the driver that is installed."""

import importlib
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

# By the scheme of the address; one without a scheme is in libpq's form, "host=... dbname=...".
DATABASES = {
    "": "postgresql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
DRIVERS = {"postgresql": ("psycopg", "psycopg2", "pg8000.dbapi"), "mysql": ("pymysql", "MySQLdb")}


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Have the database answer a query; `client` is an engine, a pool or None.

    Raises what its driver raises, and ImportError where none is installed.
    """
    if client is None:
        client = getattr(app, "extensions", {}).get("sqlalchemy")
    if hasattr(client, "getconn"):
        by_pool(client, seconds)
    elif engine := getattr(client, "engine", None):
        by_engine(engine)
    else:
        with closing(connect(address(), seconds)) as connection:
            ask(connection)


def ask(connection: Any) -> None:
    """Have a driver's connection answer."""
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    cursor.fetchone()


def by_pool(pool: Any, seconds: float) -> None:
    """Ask by a connection of psycopg's pool. Those that died with the server are given back, which ends them."""
    end = time.monotonic() + seconds
    while True:
        connection = pool.getconn()
        try:
            ask(connection)
            connection.rollback()
            return
        except Exception:
            if not connection.closed or time.monotonic() > end:
                raise
        finally:
            pool.putconn(connection)


def by_engine(engine: Any) -> None:
    """Ask by a connection of the pool. One that died with the server is replaced, once."""
    for last in (False, True):
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
            return
        except Exception as error:
            if last or not getattr(error, "connection_invalidated", False):
                raise


def connect(url: str, seconds: float) -> Any:
    """Return a connection by the first driver that is installed, else by SQLAlchemy."""
    parts, timeout = urlsplit(url), max(1, round(seconds))
    database = DATABASES.get(parts.scheme.partition("+")[0], "")
    for name in DRIVERS.get(database, ()):
        try:
            driver: Any = importlib.import_module(name)
        except ImportError:
            continue
        if name.startswith("psycopg"):  # it reads the address, but not SQLAlchemy's name of the driver in it
            return driver.connect(
                f"postgresql://{url.partition('://')[2]}" if parts.scheme else url, connect_timeout=timeout
            )
        options: dict[str, Any] = {"user": unquote(parts.username or ""), "password": unquote(parts.password or "")}
        options |= {"host": parts.hostname or "localhost", "database": unquote(parts.path[1:]) or None}
        options |= {"port": parts.port} if parts.port else {}
        return driver.connect(**options, **{"timeout" if database == "postgresql" else "connect_timeout": timeout})
    sqlalchemy: Any = importlib.import_module("sqlalchemy")
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool).raw_connection()
