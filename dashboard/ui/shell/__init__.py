"""What every page stands in: the address, the tab, the sidebar, shared resources."""
