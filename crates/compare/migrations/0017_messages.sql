create table messages (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references absences on delete cascade,
    created timestamptz not null default now()
);
create index messages_name on messages (name);
