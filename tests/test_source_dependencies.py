"""What a service runs on is proposed; what its source only mentions is not.

Each source here is a small application of a known shape.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from extensions.source.dependencies import Dependency, find

Files = dict[str, str]

# name: files, and (kind, target) of what is proposed; "?" after the kind: optional.
PROPOSED: dict[str, tuple[Files, set[tuple[str, str]]]] = {
    "Flask-SQLAlchemy with the address in a config class": (
        {
            "shop/__init__.py": (
                "from flask import Flask\nfrom .extensions import db\ndef create_app():\n    app ="
                " Flask(__name__)\n    app.config.from_object('shop.config.Config')\n    db.init_app(app)\n"
            ),
            "shop/extensions.py": "from flask_sqlalchemy import SQLAlchemy\ndb = SQLAlchemy()\n",
            "shop/config.py": (
                "import os\nclass Config:\n    SQLALCHEMY_DATABASE_URI = os.environ.get('DATABASE_URL',"
                " 'postgresql+psycopg://localhost/shop')\n"
            ),
        },
        {("postgresql", "DATABASE_URL")},
    ),
    "Flask-SQLAlchemy whose driver is in requirements.txt": (
        {
            "app.py": (
                "import os\nfrom flask import Flask\nfrom flask_sqlalchemy import SQLAlchemy\napp ="
                " Flask(__name__)\napp.config['SQLALCHEMY_DATABASE_URI'] = os.environ['DATABASE_URL']\ndb ="
                " SQLAlchemy(app)\n"
            ),
            "requirements.txt": "flask\npsycopg2-binary==2.9.9\n",
        },
        {("postgresql", "DATABASE_URL")},
    ),
    "a database whose product nothing tells": (
        {
            "app.py": (
                "import os\nfrom flask_sqlalchemy import SQLAlchemy\ndb = SQLAlchemy()\n"
                "SQLALCHEMY_DATABASE_URI = os.environ['DATABASE_URL']\n"
            )
        },
        {("sql", "DATABASE_URL")},
    ),
    "sqlite for development, a server in production": (
        {
            "config.py": (
                "import os\nclass Config: pass\nclass Development(Config):\n    SQLALCHEMY_DATABASE_URI ="
                " 'sqlite:///dev.db'\nclass Production(Config):\n    SQLALCHEMY_DATABASE_URI ="
                " os.environ.get('DATABASE_URL') or 'mysql+pymysql://db/shop'\n"
            ),
            "models.py": "from flask_sqlalchemy import SQLAlchemy\ndb = SQLAlchemy()\n",
        },
        {("mysql", "DATABASE_URL")},
    ),
    "an address put together from parts": (
        {
            "app.py": (
                "import os\nfrom flask_sqlalchemy import SQLAlchemy\nuser = os.environ['DB_USER']\npassword ="
                " os.environ['DB_PW']\ndef create_app(app):\n    app.config['SQLALCHEMY_DATABASE_URI'] ="
                " f\"postgresql://{user}:{password}@{os.environ['DB_HOST']}/x\"\ndb = SQLAlchemy()\n"
            )
        },
        {("postgresql", "SQLALCHEMY_DATABASE_URI")},
    ),
    "a plain engine from a settings module beside the services": (
        {
            "services/api/app.py": "from common.db import engine\n",
            "common/__init__.py": "",
            "common/db.py": (
                "from sqlalchemy import create_engine\nfrom common import settings\nengine ="
                " create_engine(settings.DB_URL)\n"
            ),
            "common/settings.py": (
                "import os\nDB_URL = os.getenv('SHOP_DB_URL', 'postgresql://localhost/shop')\n"
            ),
        },
        {("postgresql", "SHOP_DB_URL")},
    ),
    "an engine of URL.create": (
        {
            "db.py": (
                "import os\nfrom sqlalchemy import create_engine, URL\nengine ="
                " create_engine(URL.create('postgresql+psycopg', host=os.environ['PG_HOST'],"
                " password=os.environ['PG_PASSWORD']))\n"
            )
        },
        {("postgresql", "PG_HOST")},
    ),
    "a chain of variables": (
        {
            "db.py": (
                "import os\nfrom sqlalchemy import create_engine\n"
                "url = os.environ.get('DATABASE_URL') or os.environ.get('PG_URL') or 'postgres://localhost'\n"
                "url = url.replace('postgres://', 'postgresql://')\nengine = create_engine(url)\n"
            )
        },
        {("postgresql", "DATABASE_URL")},
    ),
    "the connection of Flask's tutorial, kept in g": (
        {
            "db.py": (
                "import psycopg\nfrom flask import current_app, g\ndef get_db():\n    if 'db' not in g:\n"
                "        g.db = psycopg.connect(current_app.config['DATABASE'])\n    return g.db\n"
            ),
            "config.py": "import os\nDATABASE = os.environ['PGSERVICE_URL']\n",
        },
        {("postgresql", "PGSERVICE_URL")},
    ),
    "redis-py at module level": (
        {"cache.py": "import os, redis\nclient = redis.from_url(os.environ['REDIS_URL'])\n"},
        {("redis?", "REDIS_URL")},
    ),
    "redis-py by host and password": (
        {
            "cache.py": (
                "import os\nfrom redis import Redis\nr = Redis(host=os.environ['REDIS_HOST'],"
                " password=os.environ['REDIS_PW'])\n"
            )
        },
        {("redis?", "REDIS_HOST")},
    ),
    "a client made in the __init__ of what the module makes": (
        {
            "store.py": (
                "import os, redis\nclass Store:\n    def __init__(self):\n        self._connect()\n    def"
                " _connect(self):\n        self.redis = redis.Redis.from_url(os.environ['REDIS_URL'])\nstore"
                " = Store()\n"
            )
        },
        {("redis?", "REDIS_URL")},
    ),
    "a literal address, by the setting that holds it": (
        {
            "settings.py": "REDIS_URL = 'redis://:hunter2@cache:6379/0'\n",
            "cache.py": (
                "import redis\nfrom settings import *\nimport settings\nclient ="
                " redis.from_url(settings.REDIS_URL)\n"
            ),
        },
        {("redis?", "REDIS_URL")},
    ),
    "Flask-Caching on Redis": (
        {
            "ext.py": "from flask_caching import Cache\ncache = Cache()\n",
            "config.py": "import os\nCACHE_TYPE = 'RedisCache'\nCACHE_REDIS_URL = os.environ['CACHE_URL']\n",
        },
        {("redis?", "CACHE_URL")},
    ),
    "Flask-Caching on memcached, by a mapping": (
        {
            "ext.py": (
                "import os\nfrom flask_caching import Cache\ncache = Cache(config={'CACHE_TYPE':"
                " 'MemcachedCache', 'CACHE_MEMCACHED_SERVERS': [os.environ['MEMCACHED_HOST']]})\n"
            )
        },
        {("memcached?", "MEMCACHED_HOST")},
    ),
    "Celery with a broker from the environment": (
        {
            "tasks.py": (
                "import os\nfrom celery import Celery\n"
                "app = Celery('t', broker=os.environ.get('BROKER_URL', 'amqp://guest:guest@mq//'))\n"
            )
        },
        {("rabbitmq", "BROKER_URL")},
    ),
    "Celery on Redis: a broker is required": (
        {
            "tasks.py": (
                "from celery import Celery\ndef init(app):\n    Celery('t',"
                " broker=app.config['CELERY_BROKER_URL'])\n"
            ),
            "config.py": "import os\nCELERY_BROKER_URL = os.environ['REDIS_URL']\n",
            "requirements.txt": "celery[redis]>=5\n",
        },
        {("redis", "REDIS_URL")},
    ),
    "Celery by a module of settings": (
        {
            "tasks.py": (
                "from celery import Celery\napp = Celery('t')\napp.config_from_object('celeryconfig')\n"
            ),
            "celeryconfig.py": "import os\nbroker_url = os.environ['AMQP_URL']\n",
        },
        {("broker", "AMQP_URL")},
    ),
    "pika in a worker's main": (
        {
            "worker.py": (
                "import os, pika\ndef main():\n    connect()\ndef connect():\n    return"
                " pika.BlockingConnection(pika.URLParameters(os.environ['AMQP_URL']))\nif __name__ =="
                " '__main__':\n    main()\n"
            )
        },
        {("rabbitmq", "AMQP_URL")},
    ),
    "kombu": (
        {"bus.py": "import os\nimport kombu\nbus = kombu.Connection(os.environ.get('BUS_URL', 'amqp://'))\n"},
        {("rabbitmq", "BUS_URL")},
    ),
    "pymongo": (
        {
            "db.py": (
                "import os\nfrom pymongo import MongoClient\nclient = MongoClient(os.environ['MONGO_URL'])\n"
            )
        },
        {("mongodb", "MONGO_URL")},
    ),
    "Flask-PyMongo": (
        {
            "app.py": (
                "import os\nfrom flask import Flask\nfrom flask_pymongo import PyMongo\napp ="
                " Flask(__name__)\napp.config['MONGO_URI'] = os.environ['MONGODB_URI']\nmongo ="
                " PyMongo(app)\n"
            )
        },
        {("mongodb", "MONGODB_URI")},
    ),
    "boto3: a bucket and a queue": (
        {
            "aws.py": (
                "import os, boto3\nBUCKET = os.environ['UPLOAD_BUCKET']\ns3 = boto3.client('s3')\nsqs ="
                " boto3.client('sqs')\ndef put(k, b):\n    s3.put_object(Bucket=BUCKET, Key=k, Body=b)\ndef"
                " send(t):\n    sqs.send_message(QueueUrl=os.environ['JOBS_QUEUE_URL'], MessageBody=t)\n"
            )
        },
        {("s3?", "UPLOAD_BUCKET"), ("sqs", "JOBS_QUEUE_URL")},
    ),
    "confluent-kafka": (
        {
            "events.py": (
                "import os\nfrom confluent_kafka import Producer\nproducer = Producer({'bootstrap.servers':"
                " os.environ['KAFKA_BROKERS'], 'sasl.password': os.environ['KAFKA_PASSWORD']})\n"
            )
        },
        {("kafka", "KAFKA_BROKERS")},
    ),
    "an httpx client": (
        {"peer.py": "import os, httpx\nclient = httpx.Client(base_url=os.environ['PRICES_URL'])\n"},
        {("http?", "PRICES_URL")},
    ),
    "requests to an address from the environment": (
        {
            "peer.py": (
                "import os, requests\nBASE = os.environ['PRICES_URL']\ndef price(x):\n    return"
                " requests.get(f'{BASE}/{x}')\n"
            )
        },
        {("http?", "PRICES_URL")},
    ),
    "an optional search engine": (
        {
            "app.py": (
                "from elasticsearch import Elasticsearch\nimport config\ndef create_app(app):\n    app.es ="
                " Elasticsearch([app.config['ELASTICSEARCH_URL']]) if app.config['ELASTICSEARCH_URL'] else"
                " None\n"
            ),
            "config.py": "import os\nELASTICSEARCH_URL = os.environ.get('ELASTICSEARCH_URL')\n",
        },
        {("elasticsearch?", "ELASTICSEARCH_URL")},
    ),
    "dotenv": (
        {
            "db.py": (
                "import os\nfrom dotenv import load_dotenv\nfrom sqlalchemy import"
                " create_engine\nload_dotenv()\nengine = create_engine(os.environ['DATABASE_URL'])\n"
            ),
            ".env.example": "DATABASE_URL=postgresql://user:change-me@localhost/db\n",
        },
        {("postgresql", "DATABASE_URL")},
    ),
    "pydantic-settings": (
        {
            "settings.py": (
                "from functools import lru_cache\nfrom pydantic import Field, PostgresDsn\nfrom"
                " pydantic_settings import BaseSettings, SettingsConfigDict\nclass Settings(BaseSettings):\n "
                "   model_config = SettingsConfigDict(env_prefix='SHOP_')\n    database_url: str ="
                " 'postgresql://localhost/shop'\n    redis: str = Field('redis://localhost',"
                " alias='CACHE_URL')\n@lru_cache\ndef get_settings():\n    return Settings()\n"
            ),
            "db.py": (
                "from sqlalchemy import create_engine\nfrom settings import get_settings\nsettings ="
                " get_settings()\nengine = create_engine(settings.database_url)\n"
            ),
            "cache.py": (
                "import redis\nfrom settings import Settings\nclient = redis.from_url(Settings().redis)\n"
            ),
        },
        {("postgresql", "SHOP_DATABASE_URL"), ("redis?", "CACHE_URL")},
    ),
    "settings that a file outside the source fills, and a client that the project extends": (
        {
            "core/__init__.py": "",
            "core/config.py": (
                "class Config:\n    data = {}\n    def __getattr__(self, x):\n        return 1\nconfig ="
                " Config()\n"
            ),
            "core/db.py": (
                "from flask_sqlalchemy import SQLAlchemy\nfrom sqlalchemy.dialects.postgresql import JSONB\n"
                "class Ours(SQLAlchemy):\n    pass\n"
            ),
            "app.py": (
                "from core.config import config\nfrom core.db import Ours\ndb = Ours()\n#"
                " flask_sqlalchemy\ndef init(app):\n    app.config['SQLALCHEMY_DATABASE_URI'] ="
                " config.DB_URI\n"
            ),
        },
        {("postgresql", "SQLALCHEMY_DATABASE_URI")},
    ),
    "a function that returns the address": (
        {
            "db.py": (
                "import os\nfrom sqlalchemy import create_engine\ndef url():\n    host ="
                " os.environ['DB_HOST']\n    return 'postgresql://' + host + '/shop'\nengine ="
                " create_engine(url())\n"
            )
        },
        {("postgresql", "DB_HOST")},
    ),
    "a name that a function binds more than once": (
        {
            "db.py": (
                "import os, psycopg2\ndef create_app():\n    host = os.environ.get('DB_HOST')\n    if not"
                " host:\n        host = 'localhost'\n    psycopg2.connect(host=host)\n"
            )
        },
        {("postgresql", "DB_HOST")},
    ),
    "one server, by its host and by an address that is put together from it": (
        {
            "config.py": (
                "import os\nKV_STORE = {'host': os.getenv('KV_HOST', 'localhost'), 'port':"
                " os.getenv('KV_PORT', '6379')}\n"
            ),
            "app.py": (
                "import redis, config\nfrom celery import Celery\ndef url():\n    host ="
                " config.KV_STORE['host']\n    port = config.KV_STORE['port']\n    return"
                " f'redis://{host}:{port}/1'\nstore = redis.Redis(host=config.KV_STORE['host'])\ncelery ="
                " Celery('t', broker=url())\n"
            ),
        },
        {("redis", "KV_HOST")},
    ),
    "a setting that is set by what can't be followed, and models that tell the product": (
        {
            "app.py": (
                "from flask import Flask\nfrom typedconfig import load\nfrom models import db\nsettings ="
                " load()\napp = Flask(__name__)\napp.config['SQLALCHEMY_DATABASE_URI'] = settings.main.uri\n"
            ),
            "models.py": (
                "from flask_sqlalchemy import SQLAlchemy\nfrom sqlalchemy.dialects.postgresql import"
                " JSONB\ndb = SQLAlchemy()\n"
            ),
        },
        {("postgresql", "SQLALCHEMY_DATABASE_URI")},
    ),
    "an option of a cfg file": (
        {
            "shop/shop.cfg": "[core]\n# its database\ndb_conn = postgresql://localhost/shop\n",
            "shop/db.py": (
                "from sqlalchemy import create_engine\nfrom shop.configuration import conf\n"
                "engine = create_engine(conf.get('core', 'DB_CONN'))\n"
            ),
        },
        {("postgresql", "core.db_conn")},
    ),
    "Eve": (
        {
            "app.py": "import eve\nclass Ours(eve.Eve):\n    pass\napp = Ours()\n",
            "settings.py": "import os\nMONGO_URI = os.environ.get('MONGO_URL', 'mongodb://localhost/x')\n",
        },
        {("mongodb", "MONGO_URL")},
    ),
    "a function that is called only if a setting is there": (
        {
            "app.py": (
                "import os, pymongo\nfrom flask import Flask\nimport config\ndef create_app():\n"
                "    if config.KEEP_HISTORY:\n        connect()\n"
                "def connect():\n    return pymongo.MongoClient(config.HISTORY_URL)\n"
            ),
            "config.py": (
                "import os\nKEEP_HISTORY = os.environ.get('KEEP_HISTORY')\nHISTORY_URL ="
                " os.environ['HISTORY_URL']\n"
            ),
        },
        {("mongodb?", "HISTORY_URL")},
    ),
    "a class that gets the app, and is made in another file": (
        {
            "store.py": (
                "import redis\nclass Store:\n    def __init__(self, app):\n"
                "        self.redis = redis.from_url(app.config['REDIS_URL'])\n"
            ),
            "app.py": (
                "import os\nfrom flask import Flask\nfrom store import Store\napp = Flask(__name__)\n"
                "app.config['REDIS_URL'] = os.environ['REDIS_URL']\nstore = Store(app)\n"
            ),
        },
        {("redis?", "REDIS_URL")},
    ),
}

# name: files, and the kinds that are seen. Nothing is proposed.
SEEN: dict[str, tuple[Files, set[str]]] = {
    "an import that is guarded": (
        {
            "c.py": (
                "import os\ntry:\n    import redis\nexcept ImportError:\n    redis = None\nr ="
                " redis.from_url(os.environ['REDIS_URL'])\n"
            )
        },
        {"redis"},
    ),
    "an import that is guarded with contextlib": (
        {
            "c.py": (
                "import os\nfrom contextlib import suppress\nwith suppress(ImportError):\n    import redis\n"
                "r = redis.from_url(os.environ['X'])\n"
            )
        },
        {"redis"},
    ),
    "an import for types": (
        {"c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import redis\n"},
        {"redis"},
    ),
    "a connector that a person may choose": (
        {
            "connectors/mongo.py": (
                "import pymongo\nclass M:\n    def run(self):\n       "
                " pymongo.MongoClient(self.options['url'])\n"
            )
        },
        {"mongodb"},
    ),
    "a client that a rarely called function makes": (
        {
            "c.py": (
                "import os\ndef export():\n    import redis\n    return"
                " redis.from_url(os.environ['REDIS_URL'])\n"
            )
        },
        {"redis"},
    ),
    "an import that is guarded in the factory": (
        {
            "c.py": (
                "import os\ndef create_app():\n    try:\n        import redis\n    except ImportError:\n     "
                "   return None\n    return redis.from_url(os.environ['REDIS_URL'])\n"
            )
        },
        {"redis"},
    ),
    "only an import": ({"c.py": "import pika\nTYPES = (pika.exceptions.AMQPError,)\n"}, {"rabbitmq"}),
    "a client without an address": ({"c.py": "import redis\nr = redis.Redis()\n"}, {"redis"}),
    "sqlite is a file": (
        {
            "m.py": (
                "from flask_sqlalchemy import SQLAlchemy\ndb = SQLAlchemy()\nSQLALCHEMY_DATABASE_URI ="
                " 'sqlite:///shop.db'\n"
            )
        },
        {"sql"},
    ),
    "requests to a fixed address": (
        {"c.py": "import requests\ndef f():\n    return requests.get('https://api.github.com')\n"},
        {"http"},
    ),
    "a cache in memory": (
        {"c.py": "from flask_caching import Cache\ncache = Cache(config={'CACHE_TYPE': 'SimpleCache'})\n"},
        set(),
    ),
    "tests and vendored code": (
        {
            "tests/test_a.py": "import os, redis\nr = redis.from_url(os.environ['REDIS_URL'])\n",
            "conftest.py": "import os, redis\nr = redis.from_url(os.environ['REDIS_URL'])\n",
            "node_modules/x/a.py": "import os, redis\nr = redis.from_url(os.environ['REDIS_URL'])\n",
        },
        set(),
    ),
    "a module of the project's own with a library's name": (
        {
            "kafka.py": "class KafkaProducer: pass\n",
            "c.py": (
                "import os\nfrom kafka import KafkaProducer\np ="
                " KafkaProducer(bootstrap_servers=os.environ['K'])\n"
            ),
        },
        set(),
    ),
    "text that only names a library": ({"c.py": "# redis, pika, pymongo\nHELP = 'import redis'\n"}, set()),
    "an option of a cfg file that is SQLite": (
        {
            "shop.cfg": "[core]\ndb_conn = sqlite:///{HOME}/shop.db\n",
            "config.py": (
                "from configuration import conf\nSQLALCHEMY_DATABASE_URI = conf.get('core', 'db_conn')\n"
            ),
            "db.py": "from flask_sqlalchemy import SQLAlchemy\ndb = SQLAlchemy()\n",
        },
        {"sql"},
    ),
    "a text that is given to a call is no address": (
        {
            "env.py": (
                "from alembic import context\nfrom sqlalchemy import create_engine\n"
                "engine = create_engine(context.config.option('sqlalchemy.url'))\n"
            )
        },
        {"sql"},
    ),
    "an address that somebody types in": (
        {
            "main.py": (
                "import redis\ndef create_app():\n    host = 'localhost'\n    host = ask('Which host?',"
                " host)\n    redis.Redis(host=host)\n"
            )
        },
        {"redis"},
    ),
    "a setting that is set by what can't be followed, and nothing tells the product": (
        {
            "app.py": (
                "from flask import Flask\nfrom flask_sqlalchemy import SQLAlchemy\nfrom typedconfig import"
                " load\napp = Flask(__name__)\napp.config['SQLALCHEMY_DATABASE_URI'] = load().uri\ndb ="
                " SQLAlchemy(app)\n"
            ),
        },
        {"sql"},
    ),
    "pydantic-settings whose default is made by a validator": (
        {
            "settings.py": (
                "from pydantic import field_validator\nfrom pydantic_settings import BaseSettings\nclass"
                " Settings(BaseSettings):\n    database_url: str = ''\n    @field_validator('database_url')\n"
                "    @classmethod\n    def made(cls, value):\n        return value or"
                " 'sqlite:///here.db'\nsettings = Settings()\n"
            ),
            "db.py": (
                "from sqlalchemy import create_engine\nfrom settings import settings\nengine ="
                " create_engine(settings.database_url)\n"
            ),
        },
        {"sql"},
    ),
    "a service of others, unless a variable says otherwise": (
        {
            "c.py": (
                "import os, requests\nTELEMETRY_URL = os.getenv('TELEMETRY_URL',"
                " 'https://telemetry.example.org/')\ndef tell():\n    requests.post(TELEMETRY_URL)\n"
            )
        },
        {"http"},
    ),
    "a class that gets the app, and is made only if a setting is there": (
        {
            "media.py": (
                "import os, boto3\nclass Media:\n    def __init__(self, app):\n"
                "        self.client = boto3.client('s3', endpoint_url=os.environ['S3_ENDPOINT'])\n"
            ),
            "app.py": (
                "from media import Media\ndef create_app(app):\n    if app.config['S3_BUCKET']:\n       "
                " Media(app)\n"
            ),
        },
        {"s3"},
    ),
    "what isn't Python": ({"c.py": "import redis\nr = redis.from_url(\n"}, set()),
}


# The client of one dependency, as a check finds it: the lines of db.py, the kind, and whether its module's
# name is usable.
OS = "import os\nfrom os import environ\n"
CLIENTS = {
    "redis-py": ("import redis\nc = redis.Redis(host=environ['H'])", "redis", True),
    "redis-py by an address": (
        "from redis import Redis\nc: Redis = Redis.from_url(environ['R_URL'])",
        "redis",
        True,
    ),
    "Flask-Redis": (
        "from flask_redis import FlaskRedis\nc = FlaskRedis()\nREDIS_URL = environ['R']",
        "redis",
        True,
    ),
    "redis for an event loop": (
        "import redis.asyncio\nc = redis.asyncio.Redis(host=environ['H'])",
        "redis",
        False,
    ),
    "a pool of redis connections": (
        "import redis\nc = redis.ConnectionPool(host=environ['H'])",
        "redis",
        False,
    ),
    "SQLAlchemy": ("from sqlalchemy import create_engine\nc = create_engine(environ['D_URL'])", "sql", True),
    "SQLAlchemy for an event loop": (
        "from sqlalchemy.ext.asyncio import create_async_engine\nc = create_async_engine(environ['D_URL'])",
        "sql",
        False,
    ),
    "psycopg's pool": (
        "from psycopg_pool import ConnectionPool\nc = ConnectionPool(environ['D_URL'])",
        "postgresql",
        True,
    ),
    "psycopg's pool for an event loop": (
        "import psycopg_pool\nc = psycopg_pool.AsyncConnectionPool(environ['D_URL'])",
        "postgresql",
        False,
    ),
    "psycopg2's pool": (
        "from psycopg2.pool import ThreadedConnectionPool\nc = ThreadedConnectionPool(1, 9, environ['D'])",
        "postgresql",
        True,
    ),
    "psycopg2's pool for one thread": (
        "from psycopg2.pool import SimpleConnectionPool\nc = SimpleConnectionPool(1, 9, environ['D'])",
        "postgresql",
        False,
    ),
    "a connection": ("import psycopg\nc = psycopg.connect(environ['D_URL'])", "postgresql", False),
    "PyMongo": ("import pymongo\nc = pymongo.MongoClient(environ['M'])", "mongodb", True),
    "Motor": (
        "from motor.motor_asyncio import AsyncIOMotorClient\nc = AsyncIOMotorClient(environ['M'])",
        "mongodb",
        False,
    ),
    "pika": ("import pika\nc = pika.BlockingConnection(pika.URLParameters(environ['B']))", "rabbitmq", False),
    "Celery": (
        "from celery import Celery\nc = Celery('t', broker=environ.get('B', 'amqp://mq'))",
        "rabbitmq",
        True,
    ),
    "Celery on Redis": (
        "from celery import Celery\nc = Celery('t', broker=environ.get('B', 'redis://r'))",
        "redis",
        False,
    ),
    "pymemcache": ("from pymemcache.client.base import Client\nc = Client(environ['M'])", "memcached", False),
    "confluent-kafka": (
        "from confluent_kafka import Producer\nc = Producer({'bootstrap.servers': environ['K']})",
        "kafka",
        True,
    ),
    "confluent-kafka's admin": (
        "from confluent_kafka.admin import AdminClient\nc = AdminClient({'bootstrap.servers': environ['K']})",
        "kafka",
        True,
    ),
    "kafka-python": (
        "from kafka import KafkaProducer\nc = KafkaProducer(bootstrap_servers=environ['K'])",
        "kafka",
        False,
    ),
    "boto3": ("import boto3\nc = boto3.client('s3')\nc.head_bucket(Bucket=environ['B'])", "s3", True),
    "boto3's resource": ("import boto3\nc = boto3.resource('sqs')\nq = c.Queue(environ['Q'])", "sqs", True),
    "bound twice": ("import redis\nc = None\nc = redis.Redis(host=environ['H'])", "redis", False),
    "a part of the value": ("import redis\nc = wrap(redis.Redis(host=environ['H']))", "redis", False),
    "two names": ("import redis\nc = d = redis.Redis(host=environ['H'])", "redis", False),
    "in a function": (
        "import redis\ndef create_app():\n    c = redis.Redis(host=environ['H'])",
        "redis",
        False,
    ),
    "under a condition": (
        "import redis\nif environ.get('H'):\n    c = redis.Redis(host=environ['H'])",
        "redis",
        True,
    ),
}

# What a client is made of, and whether the target alone is enough for another one.
ALONE = {
    "import boto3\nc = boto3.client('s3')\nc.head_bucket(Bucket=environ['B'])": ("B", True),
    "import boto3\nc = boto3.client('s3', region_name='eu-west-1')\nc.head_bucket(Bucket=environ['B'])": (
        "B",
        False,
    ),
    "from pymemcache.client.base import Client\nc = Client((environ['M'], 11211))": ("M", True),
    "from pymemcache.client.base import Client\nc = Client((environ['M'], 11212))": ("M", False),
    "from pymemcache.client.base import Client\nc = Client((environ['M_HOST'], int(environ['P'])))": (
        "M_HOST",
        False,
    ),
    "from pymemcache.client.base import Client\nc = Client(f\"{environ['M']}:11212\")": ("M", False),
    "from pymemcache.client.hash import HashClient\nc = HashClient(environ['MEMCACHED_SERVERS'].split(','))": (
        "MEMCACHED_SERVERS",
        True,
    ),
    "import bmemcached\nc = bmemcached.Client(environ['M'], username='u', password='p')": ("M", False),
    "from kafka import KafkaProducer\nc = KafkaProducer(bootstrap_servers=[environ['K']])": ("K", True),
    "from kafka import KafkaProducer\nc = KafkaProducer(bootstrap_servers=environ['K'], security_protocol='SSL')": (
        "K",
        False,
    ),
    "from confluent_kafka import Producer\nc = Producer({'bootstrap.servers': environ['K'], 'sasl.username': 'x'})": (
        "K",
        False,
    ),
    "from confluent_kafka import Producer\nSERVERS = 'kafka:9092'\nc = Producer({'bootstrap.servers': SERVERS})": (
        "SERVERS",
        False,
    ),
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Files], Path]:
    def write(files: Files) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


def service(files: Files) -> dict[str, str]:
    return {
        "name": "api",
        "path": "services/api" if any(name.startswith("services/") for name in files) else ".",
    }


def short(one: Dependency) -> tuple[str, str]:
    return one.kind + ("" if one.required else "?"), one.target


@pytest.mark.parametrize("name", PROPOSED)
def test_what_a_service_runs_on_is_proposed(written: Callable[[Files], Path], name: str) -> None:
    files, expected = PROPOSED[name]
    found = find(written(files), service(files))
    assert {short(one) for one in found if one.proposed} == expected, found
    assert all(one.evidence for one in found)


@pytest.mark.parametrize("name", SEEN)
def test_what_the_source_only_mentions_is_not_proposed(written: Callable[[Files], Path], name: str) -> None:
    files, expected = SEEN[name]
    found = find(written(files), service(files))
    assert [one for one in found if one.proposed] == []
    assert {one.kind for one in found} == expected, found
    assert all(one.evidence and one.evidence[0].split(":")[0] in files for one in found)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_that_a_check_may_use_is_named(written: Callable[[Files], Path], name: str) -> None:
    code, kind, usable = CLIENTS[name]
    (found,) = (
        one
        for one in find(written({"services/api/shop/db.py": OS + code}), {"path": "services/api"})
        if one.proposed
    )
    assert (found.kind, found.client) == (kind, "shop/db.py:c" if usable else "")


def test_a_client_beside_the_service_is_not_named(written: Callable[[Files], Path]) -> None:
    files = {"services/api/app.py": "from common.db import c\n", "common/db.py": OS + CLIENTS["redis-py"][0]}
    assert [(one.kind, one.client) for one in find(written(files), {"path": "services/api"})] == [
        ("redis", "")
    ]


def test_two_servers_at_fixed_addresses_are_two(written: Callable[[Files], Path]) -> None:
    files = {"a.py": "import redis\na = redis.Redis('one')\nb = redis.Redis('two')\n"}
    assert [(one.target, one.client) for one in find(written(files), {"path": "."})] == [
        ("", "a.py:a"),
        ("", "a.py:b"),
    ]


@pytest.mark.parametrize("code", ALONE)
def test_a_target_is_enough_only_where_nothing_is_said_beside_it(
    written: Callable[[Files], Path], code: str
) -> None:
    (found,) = (one for one in find(written({"db.py": OS + code}), {"path": "."}) if one.proposed)
    assert (found.target, found.alone) == ALONE[code]


@pytest.mark.parametrize(
    "bucket", ["'uploads'", "f\"{environ['STAGE']}-uploads\"", "environ['STAGE'] + '-uploads'"]
)
def test_a_bucket_whose_name_is_in_no_variable_is_only_seen(
    written: Callable[[Files], Path], bucket: str
) -> None:
    code = f"import boto3\ns3 = boto3.client('s3')\nBUCKET = {bucket}\ns3.head_bucket(Bucket=BUCKET)\n"
    (found,) = find(written({"db.py": OS + code}), {"path": "."})
    assert (found.proposed, found.target) == (False, "") and found.evidence == (
        "db.py:4 boto3.client(), its name is not told",
    )


def test_no_password_leaves_the_source(written: Callable[[Files], Path]) -> None:
    found = find(
        written(
            {
                "config.py": (
                    "class Config:\n    SQLALCHEMY_DATABASE_URI = 'postgresql://shop:hunter2@db/shop'\n"
                ),
                "app.py": (
                    "import os, redis\nfrom flask_sqlalchemy import SQLAlchemy\nfrom celery import Celery\ndb"
                    " = SQLAlchemy()\nr = redis.Redis(password=os.environ['REDIS_PASSWORD'], host='cache')\nc"
                    " = Celery('t', broker='amqp://a:hunter2@mq')\n"
                ),
                ".env": "DATABASE_URL=postgresql://shop:hunter2@db/shop\n",
            }
        ),
        {"path": "."},
    )
    assert {short(one) for one in found if one.proposed} == {
        ("postgresql", "SQLALCHEMY_DATABASE_URI"),
        ("rabbitmq", ""),
        ("redis?", ""),
    }
    assert "hunter2" not in repr(found) and "REDIS_PASSWORD" not in repr([one.target for one in found])


def test_the_evidence_names_the_file_and_the_line_of_client_and_address(
    written: Callable[[Files], Path],
) -> None:
    files, _ = PROPOSED["Flask-SQLAlchemy with the address in a config class"]
    (found,) = (one for one in find(written(files), service(files)) if one.proposed)
    assert found.evidence == (
        "shop/extensions.py:2 flask_sqlalchemy.SQLAlchemy() is made at the start",
        "shop/config.py:3 DATABASE_URL holds its address",
    )


def test_settings_that_refer_to_each_other_in_circles_end(written: Callable[[Files], Path]) -> None:
    files = {
        "a.py": "from b import URL\nimport redis\nX = URL\nr = redis.from_url(X)\n",
        "b.py": "from a import X\nURL = X or URL\n",
    }
    assert [one.proposed for one in find(written(files), {"path": "."})] == [False]


def test_a_service_without_a_folder_and_broken_files_are_no_error(written: Callable[[Files], Path]) -> None:
    root = written({"a.py": "import redis\nr = redis.from_url(" + "(" * 3000, "b.py": "import redis\n\0"})
    (root / "c.py").write_bytes(
        b"# coding: latin-1\n# \xe9\nimport os, redis\nr = redis.from_url(os.environ['R_URL'])\n"
    )
    assert [short(one) for one in find(root, {"path": "."}) if one.proposed] == [("redis?", "R_URL")]
    assert find(root, {"path": "nowhere"}) == []


def test_a_script_beside_a_web_service_says_nothing_about_it(written: Callable[[Files], Path]) -> None:
    repair = (
        "import os, psycopg2\ndef main():\n    psycopg2.connect(os.environ['DATABASE_URL'])\nif __name__ =="
        " '__main__':\n    main()\n    psycopg2.connect(os.environ['OTHER_URL'])\n"
    )
    root = written({"app.py": "from flask import Flask\napp = Flask(__name__)\n", "repair.py": repair})
    assert [short(one) for one in find(root, {"path": ".", "kind": "web"}) if one.proposed] == []
    both = [("postgresql", "DATABASE_URL"), ("postgresql", "OTHER_URL")]
    assert [short(one) for one in find(root, {"path": ".", "kind": "worker"}) if one.proposed] == both
