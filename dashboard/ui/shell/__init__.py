"""What surrounds every page: the address, the tab, the sidebar, shared resources."""
