create table appointments (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references rooms on delete cascade,
    created timestamptz not null default now()
);
create index appointments_name on appointments (name);
