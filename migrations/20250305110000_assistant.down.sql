DROP TABLE conversation_history;
DROP TABLE policies;
DROP TYPE message_role;
DROP TYPE policy_category;
