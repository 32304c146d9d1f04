create table drafts (id int);
