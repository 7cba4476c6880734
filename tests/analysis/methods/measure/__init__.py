"""Tests of the measurements of SAEs."""
