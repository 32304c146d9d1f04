-- Revision 66518741fa75, revises 641e6f72c0d9.

CREATE TYPE review_decision AS ENUM ('approved', 'changed', 'rejected');

CREATE TABLE acceptance_tests (
    id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    atom_id uuid NOT NULL,
    name    text NOT NULL,
    code    text NOT NULL,
    CONSTRAINT acceptance_tests_atom_fkey FOREIGN KEY (atom_id) REFERENCES atomic_units (id) ON DELETE CASCADE
);

CREATE TABLE acceptance_test_results (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    test_id   uuid        NOT NULL,
    is_passed boolean     NOT NULL,
    output    text        NOT NULL DEFAULT '',
    run_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT acceptance_test_results_test_fkey FOREIGN KEY (test_id) REFERENCES acceptance_tests (id) ON DELETE CASCADE
);

CREATE TABLE validation_results (
    id       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    atom_id  uuid    NOT NULL,
    level    integer NOT NULL,
    findings jsonb   NOT NULL DEFAULT '[]',
    CONSTRAINT validation_results_atom_fkey FOREIGN KEY (atom_id) REFERENCES atomic_units (id) ON DELETE CASCADE,
    CONSTRAINT validation_results_level_check CHECK (level BETWEEN 1 AND 4)
);

CREATE TABLE human_review_queue (
    id          bigint          GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    atom_id     uuid            NOT NULL,
    reviewer_id uuid,
    confidence  numeric(3, 2)   NOT NULL,
    decision    review_decision,
    CONSTRAINT human_review_queue_atom_fkey FOREIGN KEY (atom_id) REFERENCES atomic_units (id) ON DELETE CASCADE,
    CONSTRAINT human_review_queue_user_fkey FOREIGN KEY (reviewer_id) REFERENCES users (id),
    CONSTRAINT human_review_queue_confidence_check CHECK (confidence BETWEEN 0 AND 1)
);

CREATE INDEX idx_human_review_queue_open ON human_review_queue (confidence) WHERE decision IS NULL;
