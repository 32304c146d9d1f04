create table workshops (
    id int primary key,
    name text not null unique
);

create table repairs (
    id bigint generated always as identity primary key,
    workshop_id int not null references workshops,
    bicycle text not null,
    price_cents bigint not null default 0 check (price_cents >= 0),
    received_at timestamptz not null default now()
);
