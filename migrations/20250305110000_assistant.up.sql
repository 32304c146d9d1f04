CREATE TYPE policy_category AS ENUM ('business_rule', 'faq');
CREATE TYPE message_role AS ENUM ('user', 'assistant', 'system');

CREATE TABLE policies (
    id         uuid            PRIMARY KEY DEFAULT uuid_generate_v4(),
    key        text            NOT NULL,
    category   policy_category NOT NULL,
    value      jsonb           NOT NULL,
    created_at timestamptz     NOT NULL DEFAULT now(),
    updated_at timestamptz     NOT NULL DEFAULT now(),
    CONSTRAINT policies_key_key UNIQUE (key)
);

CREATE TRIGGER policies_touch BEFORE UPDATE ON policies
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();

-- Append-only, hence no updated_at. Read it in order of id: messages of one transaction share created_at.
CREATE TABLE conversation_history (
    id          bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id uuid         NOT NULL,
    role        message_role NOT NULL,
    content     text         NOT NULL,
    metadata    jsonb        NOT NULL DEFAULT '{}',
    created_at  timestamptz  NOT NULL DEFAULT now(),
    -- A customer who asks to be forgotten takes the conversation along.
    CONSTRAINT conversation_history_customer_fkey FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

CREATE INDEX conversation_history_customer_idx ON conversation_history (customer_id, id);
