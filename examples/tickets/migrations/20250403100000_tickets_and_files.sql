create type ticket_state as enum ('open', 'waiting', 'solved', 'closed');

create table tickets (
    id bigint generated always as identity primary key,
    organization_id bigint not null references organizations,
    reporter_id bigint not null references users,
    title text not null check (title <> ''),
    state ticket_state not null default 'open',
    created_at timestamptz not null default now()
);

create table files (
    id bigint generated always as identity primary key,
    ticket_id bigint not null references tickets on delete cascade,
    name text not null,
    size_bytes bigint not null check (size_bytes >= 0)
);
