"""The pure core that decides where things go next."""
