"""The folder that one uploads to the hub, and its card."""
