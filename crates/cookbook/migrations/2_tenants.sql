-- A workshop sees only its own repairs. Without a workshop, a session sees none.
alter table repairs enable row level security, force row level security;
create policy repairs_of_workshop on repairs
    using (workshop_id = nullif(current_setting('app.workshop', true), '')::int);
