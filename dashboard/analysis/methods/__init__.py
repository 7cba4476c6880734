"""One module a method. A method asks a Runner and computes with numpy; it never sees torch or a page."""
