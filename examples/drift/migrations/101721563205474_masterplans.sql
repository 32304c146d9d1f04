-- Revision 5c83e5a40f62, revises 5b0c4f9a27d3.

CREATE TYPE plan_status AS ENUM ('draft', 'approved', 'in_progress', 'completed', 'rejected');

CREATE TABLE masterplans (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id uuid        NOT NULL,
    title      text        NOT NULL,
    status     plan_status NOT NULL DEFAULT 'draft',
    budget_usd numeric(10, 4),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT masterplans_project_fkey FOREIGN KEY (project_id) REFERENCES projects (id),
    CONSTRAINT masterplans_budget_check CHECK (budget_usd >= 0)
);

CREATE TABLE masterplan_phases (
    id            uuid    PRIMARY KEY DEFAULT gen_random_uuid(),
    masterplan_id uuid    NOT NULL,
    position      integer NOT NULL,
    name          text    NOT NULL,
    CONSTRAINT masterplan_phases_plan_fkey FOREIGN KEY (masterplan_id) REFERENCES masterplans (id) ON DELETE CASCADE,
    CONSTRAINT masterplan_phases_position_key UNIQUE (masterplan_id, position)
);

CREATE TABLE masterplan_tasks (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    phase_id    uuid        NOT NULL,
    description text        NOT NULL,
    status      plan_status NOT NULL DEFAULT 'draft',
    details     jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT masterplan_tasks_phase_fkey FOREIGN KEY (phase_id) REFERENCES masterplan_phases (id) ON DELETE CASCADE
);

CREATE INDEX idx_masterplan_tasks_phase ON masterplan_tasks (phase_id);

CREATE TRIGGER masterplans_touch BEFORE UPDATE ON masterplans
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
