-- What the tables held when the template was sealed: how many rows, and what puts them back. Other relations' rows
-- cannot be put back.
create table _ebbtide.contents (relation regclass primary key, restored text not null);
insert into _ebbtide.contents select * from ({contents}) c(relation, restored) where relation is not null;

-- A transaction of its own, while nobody else is on the database. Raises EB001 where only a new copy will do; sets
-- `ebbtide.emptied` to the number of tables that had changed.
create procedure _ebbtide.reset() language plpgsql as $$
declare
    changed record;
    emptied int := 0;
    ignored text;
begin
    {refusal}
    if exists (select from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase where d.datname = current_database())
        or exists (select from pg_prepared_xacts where database = current_database())
        or exists (select from pg_database where datname = current_database()
            and (datacl is not null or datconnlimit <> -1 or not datallowconn or datistemplate))
    then
        raise exception 'the database itself has changed' using errcode = 'EB001';
    end if;
    for changed in
        select r.oid::regclass as relation, r.relnamespace, c.restored
        from pg_class r left join _ebbtide.contents c on c.relation = r.oid
        where r.relkind in ('r', 'm') and not r.relisshared and r.relnamespace <> '_ebbtide'::regnamespace
            and pg_stat_get_tuples_inserted(r.oid) + pg_stat_get_tuples_updated(r.oid) + pg_stat_get_tuples_deleted(r.oid) > 0
    loop
        if changed.relnamespace = 'pg_catalog'::regnamespace then
            raise exception 'the schema has changed: %', changed.relation using errcode = 'EB001';
        end if;
        if changed.restored is null or pg_relation_size(changed.relation) > {large} then
            raise exception 'a new copy is quicker than emptying %', changed.relation using errcode = 'EB001';
        end if;
        if emptied = 0 then
            -- Neither triggers nor foreign keys: what they would see is not the test's business any more.
            set local session_replication_role = replica;
        end if;
        execute 'delete from only ' || changed.relation;
        if changed.restored <> '' then
            execute changed.restored;
        end if;
        emptied := emptied + 1;
    end loop;
    {restore_sequences}
    ignored := set_config('ebbtide.emptied', emptied::text, false);
end $$;
