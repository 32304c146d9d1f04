-- Revision a90e3c68f7b2, revises 7b64fd13c095.

CREATE TABLE conversations (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    context    jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE messages (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation_id bigint      NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    content         text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outputs (
    id               bigint         GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id         bigint         NOT NULL REFERENCES users (id),
    kind             outputtype     NOT NULL,
    status           outputstatus   NOT NULL DEFAULT 'draft',
    title            text           NOT NULL,
    content          text           NOT NULL DEFAULT '',
    writing_style_id bigint         REFERENCES writing_styles (id),
    amount_awarded   numeric(12, 2),
    decided_on       date,
    created_at       timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT outputs_award_check CHECK ((status = 'awarded') = (amount_awarded IS NOT NULL)),
    CONSTRAINT outputs_amount_check CHECK (amount_awarded > 0),
    -- Funders do not decide at weekends: 6 and 7 are Saturday and Sunday.
    CONSTRAINT outputs_decided_on_check CHECK (extract(isodow FROM decided_on) < 6)
);

CREATE INDEX idx_outputs_owner ON outputs (owner_id, status);

UPDATE alembic_version SET version_num = 'a90e3c68f7b2' WHERE version_num = '7b64fd13c095';
