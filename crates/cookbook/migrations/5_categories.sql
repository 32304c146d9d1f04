alter table parts add column category text not null default 'other';
update parts set category = lower(split_part(sku, '-', 1)) where sku like '%-%';
