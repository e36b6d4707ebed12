"""The paper's tables, made again on any data."""
