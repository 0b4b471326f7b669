"""Puts the recipes in configs/ into the wheel, as attnzoo/configs; all else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["attnzoo", "attnzoo.*"]), "attnzoo.configs"],
    package_dir={"attnzoo.configs": "configs"},
)
