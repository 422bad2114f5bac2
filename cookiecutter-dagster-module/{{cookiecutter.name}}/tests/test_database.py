{% include 'database/' ~ ('test_duckdb.py' if cookiecutter.database == 'duckdb' else 'test_server.py') %}
