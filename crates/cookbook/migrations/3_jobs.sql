create table jobs (
    id bigint generated always as identity primary key,
    task text not null,
    done_by text
);

create function announce_job() returns trigger language plpgsql as $$
begin
    perform pg_notify('jobs', new.task);
    return new;
end $$;

create trigger announce after insert on jobs
    for each row execute procedure announce_job();
