"""HTTP, and nothing else: routes, shapes, problems, access."""
