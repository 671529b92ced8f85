"""Many recordings: lists, trees, shards, claims, records, and the pipeline that works through them."""
