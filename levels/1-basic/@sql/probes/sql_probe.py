"""Whether a database answers: by Flask-SQLAlchemy's engine where there is one, else by the driver that is installed."""

import importlib
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote, urlsplit

# By the scheme of the address; one without a scheme is in libpq's form, "host=... dbname=...".
DATABASES = {"": "postgresql", "postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


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
    """Return a connection by the first driver that is installed, or by SQLAlchemy."""
    parts, timeout = urlsplit(url), max(1, round(seconds))
    database = DATABASES.get(parts.scheme.partition("+")[0])
    if database == "postgresql":
        for name in ("psycopg", "psycopg2"):
            if find_spec(name):  # these read the address themselves, but not SQLAlchemy's name of the driver in it
                dsn = f"postgresql://{url.partition('://')[2]}" if parts.scheme else url
                return importlib.import_module(name).connect(dsn, connect_timeout=timeout)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    host, name = parts.hostname or "localhost", unquote(parts.path[1:])
    if database == "postgresql" and find_spec("pg8000"):
        options = {"port": parts.port or 5432, "database": name or None, "timeout": timeout}
        return importlib.import_module("pg8000.dbapi").connect(user, host=host, password=password or None, **options)
    for driver in ("pymysql", "MySQLdb"):
        if database == "mysql" and find_spec(driver):
            options = {"host": host, "port": parts.port or 3306, "connect_timeout": timeout}
            return importlib.import_module(driver).connect(user=user, password=password, database=name, **options)
    sqlalchemy: Any = importlib.import_module("sqlalchemy")
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool).raw_connection()
