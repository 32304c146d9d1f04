insert into customers (name) values ('Olga');
