create table organizations (
    id bigint generated always as identity primary key,
    name text not null unique check (name <> ''),
    created_at timestamptz not null default now()
);

create table users (
    id bigint generated always as identity primary key,
    organization_id bigint not null references organizations,
    email text not null check (position('@' in email) > 1),
    -- The whole PHC string: algorithm, parameters, salt and hash.
    password_hash text not null,
    created_at timestamptz not null default now()
);

create unique index users_email on users (lower(email));
