create table events (
    id bigint generated always as identity primary key,
    what text not null
);
