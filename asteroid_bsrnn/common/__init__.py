"""What every room stands on: errors, files that appear whole, registries, downloads. Imports nothing of the package."""
