"""The store on real engines."""
