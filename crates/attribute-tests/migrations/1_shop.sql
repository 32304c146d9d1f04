create type mood as enum ('sad', 'happy');

create table services (
    name text primary key
);

create table customers (
    id bigint generated always as identity primary key,
    name text not null unique
);

create table orders (
    id bigint generated always as identity primary key,
    customer bigint not null
        constraint orders_customer_fkey references customers deferrable initially deferred
);
