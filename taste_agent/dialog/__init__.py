"""What hears, thinks and speaks: commands, the worker that runs them, the runners that drive it."""
