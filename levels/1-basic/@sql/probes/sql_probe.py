"""Whether a database answers: by Flask-SQLAlchemy's engine where there is one, else by the driver that is installed."""

import importlib
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


def probe(app: Any, address: Callable[[], str], seconds: float) -> None:
    """Have the database answer a query. Raises what its driver raises, and ImportError where none is installed."""
    extension = getattr(app, "extensions", {}).get("sqlalchemy")
    if engine := getattr(extension, "engine", None):
        by_engine(engine)
        return
    with closing(connect(address(), seconds)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.fetchone()


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
