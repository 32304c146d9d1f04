-- Revision 3f0a51c7d2e8, the first.
-- PostgreSQL has no CREATE TYPE IF NOT EXISTS, and a partially restored database may have some of the
-- types.

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('userrole', ARRAY['writer', 'editor', 'admin']),
            ('outputtype', ARRAY['grant_proposal', 'letter_of_inquiry', 'grant_report', 'other']),
            ('outputstatus', ARRAY['draft', 'submitted', 'pending', 'awarded', 'not_awarded']),
            ('styletype', ARRAY['narrative', 'technical', 'persuasive', 'academic', 'other'])
        ) AS enums (name, labels)
    LOOP
        IF to_regtype('public.' || wanted.name) IS NULL THEN
            EXECUTE format('CREATE TYPE public.%I AS ENUM (%s)', wanted.name,
                           (SELECT string_agg(quote_literal(label), ', ' ORDER BY position)
                              FROM unnest(wanted.labels) WITH ORDINALITY AS listed (label, position)));
        END IF;
    END LOOP;
END
$$;

-- The ledger of Alembic, the former tool. The operations team still uses it.
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) PRIMARY KEY
);

INSERT INTO alembic_version (version_num)
SELECT '3f0a51c7d2e8' WHERE NOT EXISTS (SELECT FROM alembic_version);
