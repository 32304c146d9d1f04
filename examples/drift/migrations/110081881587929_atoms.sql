-- Revision 641e6f72c0d9, revises 62d7c3e0a94b.

CREATE TYPE atom_status AS ENUM ('pending', 'ready', 'running', 'done', 'failed');

CREATE TABLE dependency_graphs (
    id            uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    masterplan_id uuid        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dependency_graphs_plan_fkey FOREIGN KEY (masterplan_id) REFERENCES masterplans (id) ON DELETE CASCADE
);

CREATE TABLE execution_waves (
    id       uuid    PRIMARY KEY DEFAULT gen_random_uuid(),
    graph_id uuid    NOT NULL,
    number   integer NOT NULL,
    CONSTRAINT execution_waves_graph_fkey FOREIGN KEY (graph_id) REFERENCES dependency_graphs (id) ON DELETE CASCADE,
    CONSTRAINT execution_waves_number_key UNIQUE (graph_id, number)
);

CREATE TABLE atomic_units (
    id        uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    task_id   uuid        NOT NULL,
    wave_id   uuid,
    status    atom_status NOT NULL DEFAULT 'pending',
    loc       integer     NOT NULL,
    code      text        NOT NULL DEFAULT '',
    CONSTRAINT atomic_units_task_fkey FOREIGN KEY (task_id) REFERENCES masterplan_tasks (id) ON DELETE CASCADE,
    CONSTRAINT atomic_units_wave_fkey FOREIGN KEY (wave_id) REFERENCES execution_waves (id),
    CONSTRAINT atomic_units_loc_check CHECK (loc BETWEEN 1 AND 25)
);

CREATE INDEX idx_atomic_units_wave ON atomic_units (wave_id) WHERE status = 'pending';

CREATE TABLE atom_dependencies (
    atom_id  uuid NOT NULL,
    needs_id uuid NOT NULL,
    CONSTRAINT atom_dependencies_pkey PRIMARY KEY (atom_id, needs_id),
    CONSTRAINT atom_dependencies_atom_fkey FOREIGN KEY (atom_id) REFERENCES atomic_units (id) ON DELETE CASCADE,
    CONSTRAINT atom_dependencies_needs_fkey FOREIGN KEY (needs_id) REFERENCES atomic_units (id),
    CONSTRAINT atom_dependencies_self_check CHECK (atom_id <> needs_id)
);

CREATE TABLE atom_retry_history (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    atom_id  uuid        NOT NULL,
    attempt  smallint    NOT NULL,
    error    text        NOT NULL,
    tried_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT atom_retry_history_atom_fkey FOREIGN KEY (atom_id) REFERENCES atomic_units (id) ON DELETE CASCADE,
    CONSTRAINT atom_retry_history_attempt_key UNIQUE (atom_id, attempt)
);
