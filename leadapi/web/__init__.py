"""What every request and response passes through: parsing, errors, headers, OpenAPI document. It knows no feature."""
