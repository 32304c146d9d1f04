create table shifts (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references stock_moves on delete cascade,
    created timestamptz not null default now()
);
create index shifts_name on shifts (name);
