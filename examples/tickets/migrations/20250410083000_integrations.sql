create table integrations (
    id bigint generated always as identity primary key,
    organization_id bigint not null references organizations on delete cascade,
    kind text not null check (kind in ('email', 'chat', 'webhook')),
    settings jsonb not null default '{}',
    unique (organization_id, kind)
);
