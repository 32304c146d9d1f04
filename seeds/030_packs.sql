-- LEFT JOIN on purpose: a name without a service leaves a null in the array, which the trigger on packs refuses.
-- An inner join would quietly sell a smaller pack at the full price.
INSERT INTO packs (name, price, included_service_ids)
SELECT pack.name, pack.price, array_agg(services.id ORDER BY wanted.position)
  FROM (VALUES
           ('Mechas y Corte', 99.00, ARRAY['Mechas Balayage', 'Corte de Señora']),
           ('Manos y Pies',   48.00, ARRAY['Manicura Semipermanente', 'Pedicura'])
       ) AS pack (name, price, service_names)
 CROSS JOIN LATERAL unnest(pack.service_names) WITH ORDINALITY AS wanted (service_name, position)
  LEFT JOIN services ON services.name = wanted.service_name
 GROUP BY pack.name, pack.price
ON CONFLICT (name) DO NOTHING;
