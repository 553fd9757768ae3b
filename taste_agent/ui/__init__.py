"""What a person sees: tables, pictures, the live view."""
