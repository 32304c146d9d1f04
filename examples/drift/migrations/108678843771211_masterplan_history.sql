-- Revision 62d7c3e0a94b, revises 61902b6f15d8.

CREATE TABLE masterplan_versions (
    masterplan_id uuid        NOT NULL,
    version       integer     NOT NULL,
    content       jsonb       NOT NULL,
    created_by    uuid        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT masterplan_versions_pkey PRIMARY KEY (masterplan_id, version),
    CONSTRAINT masterplan_versions_plan_fkey FOREIGN KEY (masterplan_id) REFERENCES masterplans (id) ON DELETE CASCADE,
    CONSTRAINT masterplan_versions_user_fkey FOREIGN KEY (created_by) REFERENCES users (id)
);

CREATE TABLE masterplan_history (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    masterplan_id uuid        NOT NULL,
    changed_by    uuid        NOT NULL,
    old_status    plan_status,
    new_status    plan_status NOT NULL,
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT masterplan_history_plan_fkey FOREIGN KEY (masterplan_id) REFERENCES masterplans (id) ON DELETE CASCADE,
    CONSTRAINT masterplan_history_user_fkey FOREIGN KEY (changed_by) REFERENCES users (id)
);
