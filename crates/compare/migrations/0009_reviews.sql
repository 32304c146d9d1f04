create table reviews (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references vouchers on delete cascade,
    created timestamptz not null default now()
);
create index reviews_name on reviews (name);
