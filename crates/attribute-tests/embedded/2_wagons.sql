create table wagons (train text not null references trains);
