-- An organization sees only its own tickets, files and integrations. Without an organization, a session
-- sees none.
create function current_organization() returns bigint language sql stable
    return nullif(current_setting('tickets.organization', true), '')::bigint;

alter table tickets enable row level security, force row level security;
create policy tickets_of_organization on tickets
    using (organization_id = current_organization());

-- The tickets that a session sees, decide which files it sees.
alter table files enable row level security, force row level security;
create policy files_of_organization on files
    using (exists (select from tickets where tickets.id = ticket_id));

alter table integrations enable row level security, force row level security;
create policy integrations_of_organization on integrations
    using (organization_id = current_organization());
