"""Pages without a build step: plain HTML, modules and styles, under a strict policy."""
