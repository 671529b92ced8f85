"""Music corpora: layout, segments, source activity, augmentations."""
