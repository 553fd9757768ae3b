"""The dialog: a worker that recognizes, thinks and speaks with a model, and its messages."""
