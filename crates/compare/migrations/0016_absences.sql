create table absences (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references shifts on delete cascade,
    created timestamptz not null default now()
);
create index absences_name on absences (name);
