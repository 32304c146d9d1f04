create table invoices (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references appointments on delete cascade,
    created timestamptz not null default now()
);
create index invoices_name on invoices (name);
