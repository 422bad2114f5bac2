from setuptools import setup

setup(name="flow", install_requires=["dagster"])
