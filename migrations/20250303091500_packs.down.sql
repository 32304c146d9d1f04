DROP TABLE packs;
DROP FUNCTION check_pack_services();
