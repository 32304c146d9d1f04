drop table books, drafts;
