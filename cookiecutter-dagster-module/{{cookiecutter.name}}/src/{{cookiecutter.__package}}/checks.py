{% include cookiecutter.starter ~ '/checks.py' %}
