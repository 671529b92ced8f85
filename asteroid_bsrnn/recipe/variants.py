"""Where the variant files of a recipe lie: in ``local/variants``, or in the folders that ``local/variants.yml`` lists.

Recipes that train the same systems on other corpora share their variants so::

    variants: [variants, ../../speech/variants]   # relative to local/; the first folder that has a name counts
"""

from pathlib import Path

from ..common.errors import UserError
from ..common.files import load_yaml
from ..common.registry import check_known


def variant_files(recipe_dir: str | Path) -> dict[str, Path]:
    """Name -> file of every variant of a recipe, sorted by name."""
    found: dict[str, Path] = {}
    for folder in _places(Path(recipe_dir) / "local"):
        for path in folder.glob("*.yml"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _places(local: Path) -> list[Path]:
    listing = local / "variants.yml"
    if not listing.exists():
        return [local / "variants"]
    content = load_yaml(listing)
    folders = content.get("variants") if isinstance(content, dict) else None
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise UserError(f"{listing} must list folders: variants: [variants, ...]")
    return [local / folder for folder in folders]


def variant_names(recipe_dir: str | Path) -> list[str]:
    """Names of the variants of a recipe, sorted."""
    return list(variant_files(recipe_dir))


def variant_file(recipe_dir: str | Path, variant: str | Path) -> Path:
    """The file of a variant, given by its name or as the path of any such file.

    Raises:
        UserError: for a name that the recipe does not have, with the nearest known one.
    """
    if str(variant).endswith((".yml", ".yaml")):
        return Path(variant)
    files = variant_files(recipe_dir)
    if not files:
        places = " or ".join(str(folder) for folder in _places(Path(recipe_dir) / "local"))
        raise UserError(f"variant {variant!r} is not there: no variant file lies in {places}")
    check_known("variant", variant, files, f"of the recipe {Path(recipe_dir).resolve().name}")
    return files[str(variant)]
