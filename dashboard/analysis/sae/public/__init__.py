"""SAEs that others have published."""
