-- Revision 7b64fd13c095, revises 58c2e90b4a17.

CREATE TABLE documents (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title       text        NOT NULL,
    fiscal_year integer     NOT NULL,
    metadata    jsonb       NOT NULL DEFAULT '{}',
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT documents_title_key UNIQUE (title),
    -- A grant is for a past year, the current one or the next. The year is in UTC, because otherwise
    -- it depends on the session's time zone, and a CHECK constraint must be immutable.
    CONSTRAINT documents_fiscal_year_check
        CHECK (fiscal_year BETWEEN 1990 AND extract(year FROM received_at AT TIME ZONE 'UTC') + 1),
    CONSTRAINT documents_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX idx_documents_metadata ON documents USING gin (metadata jsonb_path_ops);

CREATE TABLE document_programs (
    document_id bigint NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    program     text   NOT NULL,
    PRIMARY KEY (document_id, program)
);

CREATE TABLE document_tags (
    document_id bigint NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    tag         text   NOT NULL,
    PRIMARY KEY (document_id, tag)
);

CREATE TABLE writing_styles (
    id    bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text      NOT NULL,
    style styletype NOT NULL,
    CONSTRAINT writing_styles_name_key UNIQUE (name)
);

CREATE TABLE prompt_templates (
    id       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text    NOT NULL,
    version  integer NOT NULL DEFAULT 1,
    template text    NOT NULL,
    CONSTRAINT prompt_templates_name_key UNIQUE (name, version)
);

UPDATE alembic_version SET version_num = '7b64fd13c095' WHERE version_num = '58c2e90b4a17';
