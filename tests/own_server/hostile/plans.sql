select q.query || ' => ' || peek('explain (format json) ' || q.query)
from unnest(array[
    'select * from notes',
    'select * from notes where n = 1',
    'select * from entries where shelf = 2',
    'select * from entries where shelf = 2 order by n limit 3',
    'select shelf, count(*) from entries group by shelf',
    'select * from counted where n between 10 and 20',
    'select * from counted order by n',
    'select * from measured where value = 3',
    'select value, count(*) from measured group by value',
    'select * from measured m join counted c using (n)',
    'select * from orders o join customers c on c.id = o.customer',
    'select * from customers where name = ''Laura''',
    'select * from parted where region = ''north''',
    'select * from parted',
    'select * from volatile',
    'select * from totals'
]) with ordinality q(query)
order by q.ordinality -- hostile view
