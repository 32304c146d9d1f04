insert into integrations (organization_id, kind, settings)
select id, 'email', '{"address": "help@harbour.example"}'::jsonb from organizations where name = 'Harbour Office'
union all
select id, 'webhook', '{"url": "https://night-train.example/hook"}'::jsonb from organizations where name = 'Night Train'
on conflict do nothing;
