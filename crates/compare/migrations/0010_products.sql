create table products (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references reviews on delete cascade,
    created timestamptz not null default now()
);
create index products_name on products (name);
