"""Long work that is declared once: kept, resumed, joined, cancelled."""
