"""What pyproject.toml cannot say: all packages that there are, and `params` as one more of them."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["pasam", "pasam.*"]), "pasam.presets"])
