"""What ablations and evaluations found, as tables (text, Markdown, LaTeX), plots and one HTML page: made from plain JSON."""
