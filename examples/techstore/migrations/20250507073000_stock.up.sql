alter table products add column stock integer not null default 0 constraint products_stock_is_there check (stock >= 0);

create view for_sale as select id, sku, name, price from products where is_active and stock > 0;
