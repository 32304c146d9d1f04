create table songs (id serial primary key, album int not null references albums, title text not null);
