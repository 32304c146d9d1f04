create table suppliers (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references products on delete cascade,
    created timestamptz not null default now()
);
create index suppliers_name on suppliers (name);
