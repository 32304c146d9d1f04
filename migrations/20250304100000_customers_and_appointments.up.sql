CREATE TYPE appointment_status AS ENUM ('booked', 'confirmed', 'completed', 'cancelled');

CREATE TABLE customers (
    id          uuid           PRIMARY KEY DEFAULT uuid_generate_v4(),
    phone       text           NOT NULL,
    first_name  text           NOT NULL,
    last_name   text           NOT NULL,
    total_spent numeric(10, 2) NOT NULL DEFAULT 0,
    metadata    jsonb          NOT NULL DEFAULT '{}',
    created_at  timestamptz    NOT NULL DEFAULT now(),
    updated_at  timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT customers_phone_key UNIQUE (phone),
    -- ITU-T E.164: a plus sign, a country code that never starts with 0, at most 15 digits in all.
    CONSTRAINT customers_phone_check CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    CONSTRAINT customers_total_spent_check CHECK (total_spent >= 0)
);

CREATE TABLE appointments (
    id          bigint             GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id uuid               NOT NULL,
    stylist_id  uuid               NOT NULL,
    service_id  uuid               NOT NULL,
    status      appointment_status NOT NULL DEFAULT 'booked',
    start_at    timestamptz        NOT NULL,
    end_at      timestamptz        NOT NULL,
    created_at  timestamptz        NOT NULL DEFAULT now(),
    updated_at  timestamptz        NOT NULL DEFAULT now(),
    -- Deferred: the assistant may hold the slot first and write the new customer later in the same transaction.
    CONSTRAINT appointments_customer_fkey FOREIGN KEY (customer_id) REFERENCES customers (id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT appointments_stylist_fkey FOREIGN KEY (stylist_id) REFERENCES stylists (id),
    CONSTRAINT appointments_service_fkey FOREIGN KEY (service_id) REFERENCES services (id),
    CONSTRAINT appointments_period_check CHECK (end_at > start_at)
);

-- One live booking per stylist and slot start; a cancelled one frees its slot. Slots that overlap without starting
-- together pass: refusing those takes an exclusion constraint, and on a uuid that takes btree_gist.
CREATE UNIQUE INDEX appointments_stylist_slot_key ON appointments (stylist_id, start_at) WHERE status <> 'cancelled';

CREATE INDEX appointments_customer_idx ON appointments (customer_id, start_at);

CREATE TRIGGER customers_touch BEFORE UPDATE ON customers
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();

CREATE TRIGGER appointments_touch BEFORE UPDATE ON appointments
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();
