insert into customers (name) values ('Nuria');
