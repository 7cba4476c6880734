"""The steps of the study of known and unknown entities; `dashboard.analysis.known_unknown` puts them together."""
