insert into products (category_id, sku, name, price, stock)
select categories.id, sku, wanted.name, price, stock
from categories
join (
    values
        ('Cables', 'USB-C-2M', 'USB-C cable, two metres', 9.90, 120),
        ('Cables', 'HDMI-3M', 'HDMI cable, three metres', 14.50, 40),
        ('Keyboards', 'KB-TKL', 'Keyboard without number pad', 79.00, 12),
        ('Screens', 'SCR-27', 'Screen, 27 inches', 249.00, 0)
) as wanted (category, sku, name, price, stock) on wanted.category = categories.name
on conflict (sku) do nothing;
