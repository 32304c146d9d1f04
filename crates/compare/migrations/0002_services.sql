create table services (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references stylists on delete cascade,
    created timestamptz not null default now()
);
create index services_name on services (name);
