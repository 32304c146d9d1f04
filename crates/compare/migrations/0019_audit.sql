create table audit (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references notifications on delete cascade,
    created timestamptz not null default now()
);
create index audit_name on audit (name);
