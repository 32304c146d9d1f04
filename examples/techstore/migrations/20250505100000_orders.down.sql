drop table orders, customers;
drop type order_state;
