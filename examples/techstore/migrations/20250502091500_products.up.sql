create table products (
    id bigint generated always as identity primary key,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    category_id bigint not null references categories,
    sku text not null unique check (sku = upper(sku) and sku <> ''),
    name text not null,
    price numeric(10, 2) not null check (price >= 0)
);

create index products_by_category on products (category_id) where is_active;

create trigger touch before update on products for each row execute procedure touch();
