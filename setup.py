"""Package metadata; versions that were tested together are in constraints.txt."""
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "asteroid_bsrnn" / "__init__.py").read_text())[1]

EXTRAS = {
    "music": ["musdb>=0.4.3", "museval>=0.4.1"],
    "energy": ["codecarbon>=3"],
    "data": ["librosa>=0.10"],  # what `import asteroid.data` needs
    "cluster": ["submitit>=1.5"],
    "tensorboard": ["tensorboard>=2.14"],
    "test": ["pytest>=8", "pytest-xdist>=3", "aiohttp"],
}
EXTRAS["all"] = sorted({item for name, items in EXTRAS.items() if name != "test" for item in items})

setup(
    name="asteroid_bsrnn",
    version=VERSION,
    description="Band-Split RNN and A-FRCNN for Asteroid: exact replications, recipes, scores and separation of any recording",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["asteroid_bsrnn", "asteroid_bsrnn.*"]),
    package_data={"asteroid_bsrnn": ["**/*.csv", "**/*.json", "**/*.yml", "**/*.j2", "**/*.css", "**/*.js"]},
    install_requires=[
        "asteroid>=0.7,<0.8",
        "requests",  # Asteroid imports it and does not say so
        "mir_eval<0.9",  # 0.9 drops the BSS-eval that Asteroid's SDR is made of
        "pb_bss_eval",
        "torch>=2.6",
        "pytorch-lightning>=2.2",
        "numpy",
        "scipy",
        "pandas",
        "pyyaml",
        "soundfile>=0.12",
        "soxr>=0.3",
        "mutagen",
        "tqdm",
        "matplotlib",
        "jinja2",
        "safetensors",
        "huggingface_hub",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["asteroid-bsrnn = asteroid_bsrnn.cli.main:main"],
        "asteroid.models": ["asteroid_bsrnn = asteroid_bsrnn.models"],
    },
)
