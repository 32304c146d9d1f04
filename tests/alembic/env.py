"""Runs the revisions on the database that DATABASE_URL names."""

import os

from alembic import context
from sqlalchemy import create_engine, pool

# The URL is libpq's. SQLAlchemy wants the driver in its scheme: psycopg 3.
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
engine = create_engine(url, poolclass=pool.NullPool)

with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
