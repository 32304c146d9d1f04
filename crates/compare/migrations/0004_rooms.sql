create table rooms (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references customers on delete cascade,
    created timestamptz not null default now()
);
create index rooms_name on rooms (name);
