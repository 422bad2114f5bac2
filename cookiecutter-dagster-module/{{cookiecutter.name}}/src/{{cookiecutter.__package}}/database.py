{% if cookiecutter.database == 'duckdb' %}
{% include 'database/duckdb.py' %}
{% elif cookiecutter.database == 'mysql' %}
{% with scheme='mysql+pymysql', title='MySQL' %}{% include 'database/server.py' %}{% endwith %}
{% else %}
{% with scheme='postgresql+psycopg', title='PostgreSQL' %}{% include 'database/server.py' %}{% endwith %}
{% endif %}
