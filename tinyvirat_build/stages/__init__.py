"""The planning stages, each a pure function: tables in, a table with its issues and balance out."""
