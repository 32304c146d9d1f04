create table settings (
    id bigint generated always as identity primary key,
    name text not null,
    previous bigint references audit on delete cascade,
    created timestamptz not null default now()
);
create index settings_name on settings (name);
