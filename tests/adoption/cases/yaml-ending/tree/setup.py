from setuptools import setup

setup(name="example", packages=["example"], install_requires=["dagster"])
