"""The use cases on a real ledger and a real gate."""
