create table vouchers (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references payments on delete cascade,
    created timestamptz not null default now()
);
create index vouchers_name on vouchers (name);
