"""Command-line texts to checked options."""
