{% include cookiecutter.starter ~ '/assets.py' %}
