create table stock_moves (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references order_lines on delete cascade,
    created timestamptz not null default now()
);
create index stock_moves_name on stock_moves (name);
