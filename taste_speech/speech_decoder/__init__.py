"""Text and taste tokens -> speech units."""
