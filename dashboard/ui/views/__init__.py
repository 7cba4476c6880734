"""What each page shows, as one value that an address can hold."""
