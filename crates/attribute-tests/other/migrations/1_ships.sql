create table ships (name text primary key);
