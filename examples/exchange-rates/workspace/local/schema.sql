-- Applied once, when the database's volume is created. Later changes need a migration.
CREATE TABLE exchange_rates (
    day DATE NOT NULL,
    currency CHAR(3) NOT NULL,
    rate DOUBLE PRECISION NOT NULL CHECK (rate > 0),
    PRIMARY KEY (day, currency)
);
