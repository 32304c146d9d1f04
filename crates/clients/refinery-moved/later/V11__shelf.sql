create schema shelf;
alter table refinery_schema_history set schema shelf;
do $$ begin
    execute format('alter database %I set search_path = shelf, public', current_database());
end $$;
set search_path = shelf, public;
create table books (id int primary key, title text not null);
