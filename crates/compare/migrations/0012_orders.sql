create table orders (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references suppliers on delete cascade,
    created timestamptz not null default now()
);
create index orders_name on orders (name);
