create index concurrently songs_title on songs (title);
