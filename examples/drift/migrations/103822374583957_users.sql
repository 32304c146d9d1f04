-- Revision 5e6d07c1be95, revises 5c83e5a40f62.

CREATE TYPE user_role AS ENUM ('member', 'admin');

CREATE TABLE users (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    email      text        NOT NULL,
    role       user_role   NOT NULL DEFAULT 'member',
    is_active  boolean     NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_check CHECK (email LIKE '%_@_%')
);

CREATE UNIQUE INDEX idx_users_email ON users (lower(email));

CREATE TRIGGER users_touch BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
