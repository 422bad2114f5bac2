-- Applied once, when the database's volume is created. Later changes need a migration.
{% if cookiecutter.starter == 'sample' %}
CREATE TABLE penguin_summary (
    species         VARCHAR(40)      NOT NULL,
    sex             VARCHAR(10)      NOT NULL,
    bill_length_mm  DOUBLE PRECISION NOT NULL,
    bill_depth_mm   DOUBLE PRECISION NOT NULL,
    flipper_length_mm DOUBLE PRECISION NOT NULL,
    body_mass_g     DOUBLE PRECISION NOT NULL,
    penguins        BIGINT           NOT NULL,
    PRIMARY KEY (species, sex)
);
{% else %}
-- CREATE TABLE readings (taken_at TIMESTAMP PRIMARY KEY, value DOUBLE PRECISION NOT NULL);
{% endif %}
