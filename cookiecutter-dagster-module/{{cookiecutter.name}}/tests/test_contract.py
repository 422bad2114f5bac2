import pytest

from {{ cookiecutter.__package }}.assets import {{ 'MEASUREMENTS, cleaned, raw' if cookiecutter.starter == 'sample' else 'first' }}
from {{ cookiecutter.__package }}.contract import CONTRACT, breaches


@pytest.fixture
def published():
{% if cookiecutter.starter == 'sample' %}
    groups = cleaned(raw()).groupby(["species", "sex"])
    return groups[MEASUREMENTS].mean().assign(penguins=groups.size()).reset_index()
{% else %}
    return first()
{% endif %}


def test_the_published_table_keeps_the_contract(published):
    assert breaches(published) == []


def test_a_missing_and_a_new_column_are_found(published):
    name = next(iter(CONTRACT))

    wrong = breaches(published.rename(columns={name: "another"}))

    assert wrong == [f"the column {name} is missing", "the column another is not in the contract"]


def test_another_type_and_missing_values_are_found(published):
    numbers = [name for name, promised in CONTRACT.items() if promised.kind == "number"]

    assert len(breaches(published.assign(**{numbers[0]: "text"}))) == 1
    assert len(breaches(published.assign(**{numbers[0]: float("nan")}))) == 1
