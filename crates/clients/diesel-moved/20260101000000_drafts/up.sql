-- The names of this directory and of the next sort the other way round than their versions.
create table drafts (id int primary key, title text not null);
create table authors (id int primary key, name text not null);
