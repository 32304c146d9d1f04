DROP TABLE services;
DROP TABLE stylists;
DROP FUNCTION touch_updated_at();
DROP TYPE service_category;
