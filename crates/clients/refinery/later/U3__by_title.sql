-- In a subdirectory, and with the prefix U, which allows refinery to apply it out of order.
create index songs_title on songs (title);
