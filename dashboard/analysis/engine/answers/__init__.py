"""Answers to asks with a workspace: sizes checked, SAEs held on the shelf for as long as they are read."""
