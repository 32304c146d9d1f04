DROP TABLE appointments;
DROP TABLE customers;
DROP TYPE appointment_status;
