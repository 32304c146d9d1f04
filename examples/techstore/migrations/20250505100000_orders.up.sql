create type order_state as enum ('placed', 'paid', 'shipped', 'cancelled');

create table customers (
    id bigint generated always as identity primary key,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    email text not null unique
);

create trigger touch before update on customers for each row execute procedure touch();

create table orders (
    id bigint generated always as identity primary key,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    customer_id bigint not null references customers,
    product_id bigint not null references products,
    quantity integer not null check (quantity > 0),
    state order_state not null default 'placed'
);

create trigger touch before update on orders for each row execute procedure touch();
