"""The passage of every request and answer: parsing, errors, headers, documents. It knows no feature."""
