drop view for_sale;
alter table products drop column stock;
