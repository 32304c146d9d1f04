create table payments (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references invoices on delete cascade,
    created timestamptz not null default now()
);
create index payments_name on payments (name);
