"""What the machine, the disk and the hub give."""
