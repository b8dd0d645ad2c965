"""The database: engines, transactions, column types, schema versions."""
