-- Every table has id, is_active, created_at and updated_at, and a trigger that sets updated_at.
create function touch() returns trigger language plpgsql as $$
begin
    -- Not now(), which returns the start of the transaction.
    new.updated_at := clock_timestamp();
    return new;
end
$$;

create table categories (
    id bigint generated always as identity primary key,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    name text not null unique
);

create trigger touch before update on categories for each row execute procedure touch();
