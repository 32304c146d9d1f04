-- Found in a directory below, and in any order.
create index songs_title on songs (title);
