"""What the browser shows: plain data in, a click out. Knows no model and no page."""
