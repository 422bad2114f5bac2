{% include cookiecutter.starter ~ '/tests/test_assets.py' %}
