-- Revision 61902b6f15d8, revises 5ff1d84c7a02.

CREATE TABLE user_quotas (
    user_id          uuid           PRIMARY KEY,
    tokens_per_month bigint         NOT NULL DEFAULT 1000000,
    cost_limit_usd   numeric(10, 4) NOT NULL DEFAULT 20,
    CONSTRAINT user_quotas_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT user_quotas_limits_check CHECK (tokens_per_month >= 0 AND cost_limit_usd >= 0)
);

CREATE TABLE user_usage (
    user_id  uuid           NOT NULL,
    month    date           NOT NULL,
    tokens   bigint         NOT NULL DEFAULT 0,
    cost_usd numeric(10, 4) NOT NULL DEFAULT 0,
    CONSTRAINT user_usage_pkey PRIMARY KEY (user_id, month),
    CONSTRAINT user_usage_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT user_usage_month_check CHECK (extract(day FROM month) = 1)
);

CREATE FUNCTION is_over_quota(wanted uuid, in_month date) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM user_usage AS used JOIN user_quotas AS quota USING (user_id)
         WHERE used.user_id = wanted AND used.month = in_month
           AND (used.tokens > quota.tokens_per_month OR used.cost_usd > quota.cost_limit_usd));
END
$$;
