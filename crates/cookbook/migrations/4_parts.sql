create table parts (
    sku text primary key,
    name text not null,
    stock int not null default 0 check (stock >= 0)
);
