"""What the recipes' scripts do: configuration, stages, launch, repeat."""
