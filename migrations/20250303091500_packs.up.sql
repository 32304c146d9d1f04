CREATE TABLE packs (
    id                   uuid           PRIMARY KEY DEFAULT uuid_generate_v4(),
    name                 text           NOT NULL,
    included_service_ids uuid[]         NOT NULL,
    price                numeric(10, 2) NOT NULL,
    is_active            boolean        NOT NULL DEFAULT true,
    created_at           timestamptz    NOT NULL DEFAULT now(),
    updated_at           timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT packs_name_key UNIQUE (name),
    -- The trigger below says it better; this holds even where triggers are switched off.
    CONSTRAINT packs_included_service_ids_check CHECK (cardinality(included_service_ids) > 0),
    CONSTRAINT packs_price_check CHECK (price >= 0)
);

-- A foreign key cannot point from the elements of an array, so a trigger does its work and raises its SQLSTATE.
CREATE FUNCTION check_pack_services() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    entries integer := coalesce(cardinality(NEW.included_service_ids), 0);
    missing text;
BEGIN
    IF entries = 0 THEN
        RAISE EXCEPTION 'pack "%" includes no service', NEW.name
            USING ERRCODE = 'foreign_key_violation',
                  DETAIL = 'included_service_ids is null or empty.',
                  HINT = 'Insert the services before the packs.',
                  SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  COLUMN = 'included_service_ids', CONSTRAINT = TG_NAME;
    END IF;

    -- The schema is spelled out because dumps are restored with an empty search_path.
    SELECT string_agg(format('entry %s of %s (%s)', entry.position, entries, coalesce(entry.id::text, 'null')),
                      ', ' ORDER BY entry.position)
      INTO missing
      FROM unnest(NEW.included_service_ids) WITH ORDINALITY AS entry (id, position)
     WHERE NOT EXISTS (SELECT FROM public.services AS s WHERE s.id = entry.id);

    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'pack "%" includes a service that does not exist', NEW.name
            USING ERRCODE = 'foreign_key_violation',
                  DETAIL = format('Not present in table "services": %s.', missing),
                  HINT = 'Insert the services before the packs. A null entry is a service name that matched no row.',
                  SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  COLUMN = 'included_service_ids', CONSTRAINT = TG_NAME;
    END IF;

    RETURN NEW;
END
$$;

-- BEFORE, so that it speaks ahead of NOT NULL and CHECK, which cannot name the pack.
CREATE TRIGGER packs_services_exist BEFORE INSERT OR UPDATE OF included_service_ids ON packs
    FOR EACH ROW EXECUTE FUNCTION check_pack_services();

CREATE TRIGGER packs_touch BEFORE UPDATE ON packs
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();
