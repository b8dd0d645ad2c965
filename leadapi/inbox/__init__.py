"""The inbox: pages for the people who answer leads. It stands above the features and uses their services."""
