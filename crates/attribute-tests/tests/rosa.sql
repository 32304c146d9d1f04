insert into customers (name) values ('Rosa');
