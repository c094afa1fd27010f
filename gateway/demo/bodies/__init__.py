"""Sample webhooks in the providers' own shapes, made from invented purchases; one file each."""
