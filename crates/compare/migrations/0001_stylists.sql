create table stylists (
    id bigint generated always as identity primary key,
    name text not null,
    created timestamptz not null default now()
);
create index stylists_name on stylists (name);
