create table notifications (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references messages on delete cascade,
    created timestamptz not null default now()
);
create index notifications_name on notifications (name);
