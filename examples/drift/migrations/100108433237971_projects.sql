-- Revision 5b0c4f9a27d3, the first.

CREATE TYPE run_status AS ENUM ('queued', 'running', 'succeeded', 'failed');

CREATE FUNCTION touch_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TABLE projects (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projects_name_key UNIQUE (name)
);

CREATE TABLE code_files (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id uuid        NOT NULL,
    path       text        NOT NULL,
    language   text        NOT NULL,
    content    text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT code_files_project_fkey FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT code_files_path_key UNIQUE (project_id, path)
);

-- Needs the extension pg_trgm, which ebbtide.toml declares.
CREATE INDEX idx_code_files_path_trgm ON code_files USING gin (path gin_trgm_ops);

CREATE SEQUENCE pipeline_run_number START 1000;

CREATE TABLE pipeline_runs (
    number     bigint      PRIMARY KEY DEFAULT nextval('pipeline_run_number'),
    project_id uuid        NOT NULL,
    status     run_status  NOT NULL DEFAULT 'queued',
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    CONSTRAINT pipeline_runs_project_fkey FOREIGN KEY (project_id) REFERENCES projects (id),
    CONSTRAINT pipeline_runs_period_check CHECK (ended_at >= started_at)
);

CREATE INDEX idx_pipeline_runs_project ON pipeline_runs (project_id, started_at);

CREATE TRIGGER projects_touch BEFORE UPDATE ON projects
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
