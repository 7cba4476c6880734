"""One file a page: widgets, an ask, a method, a presenter, a component."""
