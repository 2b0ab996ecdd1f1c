-- Which trace an alert belongs to: the headers `traceparent` and `tracestate`, with a blank between. Null for all but those that
-- are sampled, and while nothing is traced.
ALTER TABLE alerts ADD COLUMN trace TEXT;
ALTER TABLE expansions ADD COLUMN trace TEXT;
