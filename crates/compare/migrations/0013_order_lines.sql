create table order_lines (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references orders on delete cascade,
    created timestamptz not null default now()
);
create index order_lines_name on order_lines (name);
