-- Needs the extensions uuid-ossp (keys) and pg_trgm (the last index). They are declared in ebbtide.toml and not created
-- here: CREATE EXTENSION needs rights that the role that migrates production may lack.

CREATE TYPE service_category AS ENUM ('hairdressing', 'aesthetics', 'both');

CREATE FUNCTION touch_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- now() stands still for a whole transaction, so a test that is rolled back would never see the column move.
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;

CREATE TABLE stylists (
    id         uuid             PRIMARY KEY DEFAULT uuid_generate_v4(),
    first_name text             NOT NULL,
    category   service_category NOT NULL,
    is_active  boolean          NOT NULL DEFAULT true,
    created_at timestamptz      NOT NULL DEFAULT now(),
    updated_at timestamptz      NOT NULL DEFAULT now(),
    -- Customers ask for a stylist by first name; two of the same would be ambiguous in the chat.
    CONSTRAINT stylists_first_name_key UNIQUE (first_name)
);

CREATE TABLE services (
    id               uuid             PRIMARY KEY DEFAULT uuid_generate_v4(),
    name             text             NOT NULL,
    category         service_category NOT NULL,
    duration_minutes integer          NOT NULL,
    price            numeric(10, 2)   NOT NULL,
    is_active        boolean          NOT NULL DEFAULT true,
    created_at       timestamptz      NOT NULL DEFAULT now(),
    updated_at       timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT services_name_key UNIQUE (name),
    CONSTRAINT services_duration_minutes_check CHECK (duration_minutes > 0),
    CONSTRAINT services_price_check CHECK (price >= 0)
);

CREATE TRIGGER stylists_touch BEFORE UPDATE ON stylists
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();

CREATE TRIGGER services_touch BEFORE UPDATE ON services
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();

-- Customers misspell what they want; `name % 'Corte de Cabalero'` is answered from this index.
CREATE INDEX idx_services_name_trgm ON services USING gin (name gin_trgm_ops);
