-- V10 sorts before V2 by name, and runs after it.
create table drafts (id int primary key, title text not null);
create table authors (id int primary key, name text not null);
