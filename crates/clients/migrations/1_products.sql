create table products (
    id serial primary key,
    sku text not null unique,
    name text not null,
    stock int not null constraint products_stock_check check (stock >= 0)
);
create index products_name on products using gin (name gin_trgm_ops);
