-- Devices that were not heard of for months are looked for by their age.
CREATE INDEX devices_by_age ON devices (service, registered_at_ms);
