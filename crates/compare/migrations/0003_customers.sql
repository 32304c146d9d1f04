create table customers (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references services on delete cascade,
    created timestamptz not null default now()
);
create index customers_name on customers (name);
