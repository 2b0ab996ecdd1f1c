-- What a device is bound to: of a browser, the VAPID key that it subscribed with; of an Apple device, the bundle id of its app. Null: it
-- was not told.
ALTER TABLE devices ADD COLUMN bound_to TEXT;
