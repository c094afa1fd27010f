"""What a message means: one file per channel, and the use cases over ports."""
