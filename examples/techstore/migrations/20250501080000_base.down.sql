drop table categories;
drop function touch();
