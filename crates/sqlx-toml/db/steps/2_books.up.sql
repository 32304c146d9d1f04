create table drafts (id int);
create table books  (id int);
