-- Revision c41f77d02e9b, revises a90e3c68f7b2.
-- A user sees only their own conversations. Without a user, a session sees none.

ALTER TABLE conversations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY conversations_of_user ON conversations
    USING (user_id = nullif(current_setting('archive.user', true), '')::bigint);

ALTER TABLE messages ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- The conversations that a session sees, decide which messages it sees.
CREATE POLICY messages_of_user ON messages
    USING (EXISTS (SELECT FROM conversations WHERE conversations.id = conversation_id));

UPDATE alembic_version SET version_num = 'c41f77d02e9b' WHERE version_num = 'a90e3c68f7b2';
