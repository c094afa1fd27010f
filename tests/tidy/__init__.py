"""The code as data: rules that no single test of behaviour would notice."""
