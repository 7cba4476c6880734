"""Tests of what an installation is and gets."""
