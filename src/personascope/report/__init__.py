"""What we show: figures, tables, the HTML page."""
