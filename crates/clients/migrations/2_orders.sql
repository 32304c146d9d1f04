create table orders (
    id serial primary key,
    product int not null constraint orders_product_fkey references products,
    customer text not null,
    quantity int not null constraint orders_quantity_check check (quantity > 0),
    constraint orders_customer_product_key unique (customer, product)
);
