create table trains (name text primary key, wagons int);
