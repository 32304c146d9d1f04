create table albums (id serial primary key, title text not null);
